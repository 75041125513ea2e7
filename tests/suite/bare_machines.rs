//! Machines and containers that lack what others have: no HOME, no folder for temporary files, no current folder, an
//! empty PATH. sparkpack works there, or one line says why not.

use std::{
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::PathBuf,
    process::Command,
};

use crate::support::{NOBODY, Run, TestProject, program, run, small};

const ROOT: &str = "registry.example/root:1";

fn project() -> TestProject {
    let project = small::project(ROOT, "registry.example");
    project.write("sparkpack.lock", &small::lock(ROOT));
    project
}

/// A project whose runs have no home, and where its cache then is.
fn homeless() -> (TestProject, PathBuf) {
    let project = project();
    let temporary = project.home().join("tmp");
    fs_err::create_dir(&temporary).unwrap();
    let user = program("id", &["-u"]);
    let cache = temporary.join(format!("sparkpack-{}", user.trim()));
    (project, cache)
}

fn without_home(project: &TestProject, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env_remove("HOME").env_remove("SPARKPACK_CACHE");
    command.env_remove("XDG_CACHE_HOME");
    command.env("TMPDIR", project.home().join("tmp"));
    command
}

/// The code and the first line of an error that leaves the project as it was.
fn refused(project: &TestProject, command: &mut Command) -> String {
    let before = project.files();
    let Run { code, stderr, .. } = run(command);
    assert_eq!(project.files(), before);
    assert!(stderr.contains("\nhint: "), "{stderr}");
    let text = format!("exit {code}\n{stderr}");
    let text = text.replace(project.home().to_str().unwrap(), "HOME");
    let user = format!("sparkpack-{}", program("id", &["-u"]).trim());
    text.replace(&user, "sparkpack-UID")
}

#[test]
fn without_a_home_the_cache_is_a_folder_of_the_users_own() {
    let (project, cache) = homeless();
    let packed = run(&mut without_home(&project, &["package"]));
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    let mode = |path: &PathBuf| fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&cache), 0o700);
    assert!(cache.join("locks").is_dir());
    let pinned = run(&mut without_home(&project, &["pin"]));
    assert_eq!(pinned.code, 0, "{}", pinned.stderr);
    // Whoever may write there could put anything into an image.
    fs_err::set_permissions(&cache, std::fs::Permissions::from_mode(0o770)).unwrap();
    let told = "exit 6
error[E610]: HOME/tmp/sparkpack-UID: without HOME the cache would be there, but other users may write into it
hint: the cache cannot be used there: give yourself the right to that path, or let `SPARKPACK_CACHE` name another folder
";
    assert_eq!(
        refused(&project, &mut without_home(&project, &["package"])),
        told
    );
    // Readable by others is no harm.
    fs_err::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(&mut without_home(&project, &["tags"])).code, 0);
    fs_err::remove_dir_all(&cache).unwrap();
    let elsewhere = project.home().join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &cache).unwrap();
    let told = told.replace("other users may write into it", "it is no folder");
    assert_eq!(
        refused(&project, &mut without_home(&project, &["package"])),
        told
    );
    assert_eq!(fs_err::read_dir(&elsewhere).unwrap().count(), 0);
    fs_err::remove_file(&cache).unwrap();
    fs_err::create_dir(&cache).unwrap();
    // Only root can give a folder away.
    if chown(&cache, Some(NOBODY), Some(NOBODY)).is_ok() {
        let told = told.replace("it is no folder", "it belongs to another user");
        assert_eq!(
            refused(&project, &mut without_home(&project, &["package"])),
            told
        );
    }
    let mut own = without_home(&project, &["package"]);
    assert_eq!(run(own.env("SPARKPACK_CACHE", &elsewhere)).code, 0);
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there_is_told_or_not_needed() {
    let (project, _) = homeless();
    let mut command = without_home(&project, &["package"]);
    let told = refused(&project, command.env("TMPDIR", project.home().join("none")));
    let head = "exit 6\nerror[E610]: HOME/none/sparkpack-UID: without HOME the cache would be there, and TMPDIR is no folder\n";
    assert!(told.starts_with(head), "{told}");
    // With a cache nothing else is needed here.
    let mut command = project.command(&["package"]);
    let packed = run(command.env("TMPDIR", project.home().join("none")));
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    // On another file system than the project and the cache.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    fs_err::remove_dir_all(project.root().join("dist")).unwrap();
    let mut command = project.command(&["package"]);
    let packed = run(command.env("TMPDIR", elsewhere.path()));
    assert_eq!(packed.code, 0, "{}", packed.stderr);
}

#[test]
fn neither_a_path_nor_a_current_folder_is_needed() {
    let project = project();
    let usual = project.succeed(&["tags"]).stdout;
    for path in ["", "/nowhere"] {
        let mut command = project.command(&["tags"]);
        let tags = run(command.env("PATH", path));
        assert_eq!((tags.code, &tags.stdout), (0, &usual), "{}", tags.stderr);
    }
    let gone = project.home().join("gone");
    fs_err::create_dir(&gone).unwrap();
    let binary = project.command(&[]).get_program().to_owned();
    let binary = binary.to_str().unwrap();
    let root = project.root();
    let from_nowhere = |rest: &str| {
        let script = format!(
            "mkdir -p {0} && cd {0} && rmdir {0} && {binary} {rest}",
            gone.display()
        );
        let mut shell = Command::new("sh");
        let command = project.command(&[]);
        crate::support::give_variables(&command, &mut shell);
        run(shell.args(["-c", &script]).current_dir(project.home()))
    };
    let told = from_nowhere("tags");
    assert_eq!(told.code, 2, "{}", told.stderr);
    let line = "the current folder is not there any more";
    assert!(
        told.stderr.contains(line) && told.stderr.contains("\nhint: "),
        "{}",
        told.stderr
    );
    let tags = from_nowhere(&format!("-C {} tags", root.display()));
    assert_eq!((tags.code, &tags.stdout), (0, &usual), "{}", tags.stderr);
}
