use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::*;

/// A project's root with its files.
struct Project(tempfile::TempDir);

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs_err::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs_err::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    /// All files with their texts, and links with their targets.
    fn files(&self) -> BTreeMap<String, String> {
        let walk = walkdir::WalkDir::new(self.root()).into_iter();
        let files = walk
            .map(Result::unwrap)
            .filter(|entry| !entry.file_type().is_dir());
        files
            .map(|entry| {
                let path = entry.path().strip_prefix(self.root()).unwrap();
                let path = path.to_str().unwrap().to_owned();
                let text = if entry.path_is_symlink() {
                    let target = fs_err::read_link(entry.path()).unwrap();
                    format!("-> {}", target.display())
                } else {
                    fs_err::read_to_string(entry.path()).unwrap()
                };
                (path, text)
            })
            .collect()
    }

    fn replacement(&self, path: &str, new: &str) -> Replacement {
        let path = self.path(path);
        let old = fs_err::read(&path).ok();
        Replacement {
            old: old.as_deref().map(Digest::of),
            bytes: new.as_bytes().to_vec(),
            path,
        }
    }

    fn replace(&self, files: &[(&str, &str)]) -> Result<Vec<Linked>, ReplaceError> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, new)| self.replacement(path, new))
            .collect();
        replace_together(self.root(), &files)
    }

    /// A change that must fail without changing anything.
    fn refuse(&self, files: &[Replacement]) -> ReplaceError {
        let before = self.files();
        let error = replace_together(self.root(), files).unwrap_err();
        assert_eq!(self.files(), before, "{error}");
        error
    }

    fn recover(&self) -> Result<Option<Recovered>, ReplaceError> {
        recover(self.root(), &|_| false)
    }

    /// Leaves what a killed run leaves: a journal under this name, and new contents beside the files, whose texts are
    /// old.
    fn leave(&self, journal: &str, files: &[&str]) {
        let entries: Vec<JournalEntry> = files
            .iter()
            .enumerate()
            .map(|(number, path)| {
                let temporary = format!(".sparkpack-{number}");
                let real = fs_err::canonicalize(self.path(path)).unwrap();
                let beside = real.with_file_name(&temporary);
                fs_err::write(beside, "new").unwrap();
                JournalEntry {
                    path: (*path).to_owned(),
                    temporary,
                    old: Some(Digest::of(b"old")),
                }
            })
            .collect();
        let bytes = record::to_bytes(&entries.iter().collect::<Vec<_>>());
        fs_err::write(self.path(journal), bytes).unwrap();
    }
}

fn texts<'a>(files: &[(&'a str, &'a str)]) -> BTreeMap<String, String> {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    files.iter().map(owned).collect()
}

/// A folder on another file system than the temporary one, if there is any.
fn elsewhere() -> Option<tempfile::TempDir> {
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |folder: &Path| fs_err::metadata(folder).unwrap().dev();
    (device(here.path()) != device(there.path())).then_some(there)
}

#[test]
fn all_files_are_new_and_nothing_else_is_there() {
    let project = Project::new(&[("a", "old"), ("k/b", "old"), ("k/c/d", "old")]);
    let all = [("a", "1"), ("k/b", "2"), ("k/c/d", "3"), ("k/new", "4")];
    assert_eq!(project.replace(&all).unwrap(), []);
    assert_eq!(project.files(), texts(&all));
    assert_eq!(project.replace(&[]).unwrap(), []);
    let mode = fs_err::metadata(project.path("k/new")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
fn mode_and_owner_stay() {
    for mode in [0o600, 0o640, 0o755, 0o664] {
        let project = Project::new(&[("a", "old")]);
        let permissions = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(project.path("a"), permissions).unwrap();
        // Only root can change the owner; for other users the test compares equal owners.
        drop(std::os::unix::fs::chown(
            project.path("a"),
            Some(65534),
            Some(65533),
        ));
        let was = fs_err::metadata(project.path("a")).unwrap();
        project.replace(&[("a", "new")]).unwrap();
        let is = fs_err::metadata(project.path("a")).unwrap();
        assert_eq!(project.read("a"), "new");
        assert_ne!(is.ino(), was.ino(), "it was replaced, not overwritten");
        assert_eq!(
            (is.mode(), is.uid(), is.gid()),
            (was.mode(), was.uid(), was.gid())
        );
    }
}

#[test]
fn links_stay_and_what_they_lead_to_is_replaced() {
    let project = Project::new(&[("real/a", "old"), ("b", "old")]);
    symlink("real/a", project.path("one")).unwrap();
    symlink("one", project.path("two")).unwrap();
    symlink("real", project.path("folder")).unwrap();
    project.replace(&[("two", "new"), ("b", "new")]).unwrap();
    assert!(project.path("one").is_symlink() && project.path("two").is_symlink());
    assert_eq!(project.read("real/a"), "new");
    // The same file twice counts once, but not with two contents.
    let both = [("folder/a", "3"), ("real/a", "3")];
    project.replace(&both).unwrap();
    assert_eq!(project.read("real/a"), "3");
    let error = project.refuse(&[
        project.replacement("one", "4"),
        project.replacement("folder/a", "5"),
    ]);
    assert_eq!(
        error.to_string(),
        "one and folder/a are one file, and would have to differ"
    );
}

#[test]
fn a_link_to_another_disk_stays_one() {
    let Some(there) = elsewhere() else {
        return;
    };
    let project = Project::new(&[("a", "old")]);
    let real = there.path().join("real");
    fs_err::write(&real, "old").unwrap();
    symlink(&real, project.path("link")).unwrap();
    project.replace(&[("a", "new"), ("link", "new")]).unwrap();
    assert!(project.path("link").is_symlink());
    assert_eq!(fs_err::read_to_string(&real).unwrap(), "new");
    // The same holds for the recovery after a killed run.
    fs_err::write(&real, "old").unwrap();
    project.write("a", "old");
    project.leave(COMMITTED, &["a", "link"]);
    assert!(there.path().join(".sparkpack-1").exists());
    project.recover().unwrap().unwrap();
    assert_eq!(fs_err::read_to_string(&real).unwrap(), "new");
    assert_eq!(fs_err::read_dir(there.path()).unwrap().count(), 1);
}

#[test]
fn other_names_of_a_file_keep_the_old_content_and_are_counted() {
    let project = Project::new(&[("a", "old"), ("b", "old")]);
    fs_err::hard_link(project.path("a"), project.path("second")).unwrap();
    fs_err::hard_link(project.path("a"), project.path("third")).unwrap();
    let linked = project.replace(&[("a", "new"), ("b", "new")]).unwrap();
    let wanted = Linked {
        path: project.path("a"),
        others: 2,
    };
    assert_eq!(linked, [wanted]);
    assert_eq!(project.read("a"), "new");
    assert_eq!(project.read("second"), "old");
}

#[test]
fn a_third_file_that_cannot_be_replaced_leaves_the_others_old() {
    let project = Project::new(&[("a", "old"), ("b", "old"), ("file", "old")]);
    fs_err::create_dir(project.path("folder")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        project.path("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    symlink("nowhere", project.path("dangling")).unwrap();
    symlink("loop", project.path("loop")).unwrap();
    let reasons = [
        ("file/c", "Not a directory"),
        ("no/folder", "No such file"),
        ("folder", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
        ("dangling", "it is a link that leads nowhere"),
        ("loop", "symbolic links"),
    ];
    for (path, reason) in reasons {
        let third = Replacement {
            path: project.path(path),
            old: None,
            bytes: Vec::new(),
        };
        let [first, second] = ["a", "b"].map(|path| project.replacement(path, "new"));
        let error = replace_together(project.root(), &[first, second, third]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(path) && text.contains(reason), "{text}");
        assert_eq!(error.code(), "E610");
        for path in ["a", "b", "file"] {
            assert_eq!(project.read(path), "old");
        }
        let left = fs_err::read_dir(project.root()).unwrap().count();
        assert_eq!(left, 7, "{path}: nothing half-written stays");
    }
}

#[test]
fn a_file_that_another_has_changed_stays_as_it_is_and_so_do_all() {
    let project = Project::new(&[("a", "old"), ("b", "old")]);
    for old in [Some(Digest::of(b"older")), None] {
        let mut files = ["a", "b"].map(|path| project.replacement(path, "new"));
        files[1].old = old;
        let error = project.refuse(&files);
        assert!(error.to_string().starts_with("b was changed while"));
        assert_eq!(error.code(), "E102");
    }
    let mut gone = project.replacement("b", "new");
    gone.path = project.path("gone");
    assert_eq!(project.refuse(&[gone]).code(), "E102");
}

#[test]
fn a_file_outside_the_project_is_refused_unless_a_link_leads_there() {
    let project = Project::new(&[("a", "old")]);
    let other = Project::new(&[("b", "old")]);
    let error = project.refuse(&[other.replacement("b", "new")]);
    assert!(error.to_string().contains("leads out of the project"));
    // The caller may allow `..`, since a project's configuration may have it.
    fs_err::create_dir(project.path("sub")).unwrap();
    let root = project.path("sub");
    let mut file = project.replacement("a", "new");
    file.path = root.join("../a");
    replace_together(&root, &[file]).unwrap();
    assert_eq!(project.read("a"), "new");
}

#[test]
fn nobody_begins_where_there_is_a_journal() {
    for journal in [BEGUN, COMMITTED] {
        let project = Project::new(&[("a", "old"), (journal, "of another run")]);
        let error = project.refuse(&[project.replacement("a", "new")]);
        assert_eq!(error.code(), "E612");
    }
}

#[test]
fn what_was_begun_is_undone() {
    let project = Project::new(&[("a", "old"), ("k/b", "old")]);
    let before = project.files();
    assert_eq!(project.recover().unwrap(), None);
    project.leave(BEGUN, &["a", "k/b"]);
    assert_eq!(project.recover().unwrap(), Some(Recovered::Undone));
    assert_eq!(project.files(), before);
    // Killed before all contents were written.
    project.leave(BEGUN, &["a", "k/b"]);
    fs_err::remove_file(project.path("k/.sparkpack-1")).unwrap();
    project.recover().unwrap();
    assert_eq!(project.files(), before);
}

#[test]
fn a_torn_journal_is_removed() {
    let whole = record::to_bytes(&[]);
    for end in 0..whole.len() {
        let project = Project::new(&[("a", "old")]);
        fs_err::write(project.path(BEGUN), &whole[..end]).unwrap();
        assert_eq!(project.recover().unwrap(), Some(Recovered::Undone));
        assert_eq!(project.files(), texts(&[("a", "old")]));
    }
}

#[test]
fn what_was_committed_is_completed() {
    let project = Project::new(&[("a", "old"), ("k/b", "old"), ("c", "old")]);
    project.leave(COMMITTED, &["a", "k/b", "c"]);
    // Killed after the first file was replaced.
    fs_err::rename(project.path(".sparkpack-0"), project.path("a")).unwrap();
    let files = vec![PathBuf::from("k/b"), PathBuf::from("c")];
    let recovered = project.recover().unwrap().unwrap();
    assert_eq!(recovered, Recovered::Completed(files));
    assert_eq!(
        recovered.to_string(),
        "a run that was killed is completed: changed k/b, c"
    );
    let all = [("a", "new"), ("k/b", "new"), ("c", "new")];
    assert_eq!(project.files(), texts(&all));
    // Killed after the last file was replaced, and a user has edited it since.
    project.leave(COMMITTED, &["a"]);
    fs_err::rename(project.path(".sparkpack-0"), project.path("a")).unwrap();
    project.write("a", "edited");
    let recovered = project.recover().unwrap();
    assert_eq!(recovered, Some(Recovered::Completed(Vec::new())));
    assert_eq!(project.read("a"), "edited");
}

#[test]
fn a_project_may_be_moved_before_it_is_completed() {
    let project = Project::new(&[("at/a", "old"), ("at/k/b", "old")]);
    project.leave(COMMITTED, &["at/a", "at/k/b"]);
    let text = project.read(COMMITTED);
    assert!(!text.contains(project.root().to_str().unwrap()));
    let other = tempfile::tempdir().unwrap();
    let to = other.path().join("moved");
    fs_err::rename(project.root(), &to).unwrap();
    recover(&to, &|_| false).unwrap().unwrap();
    for file in ["at/a", "at/k/b"] {
        assert_eq!(fs_err::read_to_string(to.join(file)).unwrap(), "new");
    }
    fs_err::create_dir(project.root()).unwrap();
}

#[test]
fn what_somebody_has_edited_since_is_left_and_so_are_the_others() {
    let project = Project::new(&[("a", "old"), ("b", "old"), ("c", "old"), ("d", "old")]);
    project.leave(COMMITTED, &["a", "b", "c", "d"]);
    fs_err::rename(project.path(".sparkpack-0"), project.path("a")).unwrap();
    project.write("b", "edited");
    fs_err::remove_file(project.path("d")).unwrap();
    let recovered = project.recover().unwrap().unwrap();
    let edited = vec![PathBuf::from("b"), PathBuf::from("d")];
    assert_eq!(recovered, Recovered::GivenUp(edited));
    let left = [("a", "new"), ("b", "edited"), ("c", "old")];
    assert_eq!(project.files(), texts(&left));
    assert_eq!(project.recover().unwrap(), None);
}

#[test]
fn a_folder_that_went_takes_its_part_with_it() {
    let project = Project::new(&[("a", "old"), ("k/b", "old")]);
    project.leave(COMMITTED, &["a", "k/b"]);
    fs_err::remove_dir_all(project.path("k")).unwrap();
    project.recover().unwrap();
    assert_eq!(project.files(), texts(&[("a", "new")]));
}

#[test]
fn a_hostile_journal_reaches_nothing() {
    let outer = Project::new(&[(".sparkpack-0", "precious"), ("victim", "old")]);
    outer.write("project/a", "old");
    let root = outer.path("project");
    let entry = |path: &str, temporary: &str| JournalEntry {
        path: path.to_owned(),
        temporary: temporary.to_owned(),
        old: Some(Digest::of(b"old")),
    };
    fs_err::create_dir(root.join(".sparkpack-tree")).unwrap();
    symlink("../victim", root.join(".sparkpack-link")).unwrap();
    let victim = outer.path("victim").to_str().unwrap().to_owned();
    let hostile = [
        entry("../victim", ".sparkpack-0"),
        entry(&victim, ".sparkpack-0"),
        entry("a", "../.sparkpack-0"),
        entry("a", "a"),
        entry("a", ".sparkpack-tree"),
        entry("a", ".sparkpack-link"),
    ];
    let before = outer.files();
    for entry in &hostile {
        for journal in [BEGUN, COMMITTED] {
            let file = root.join(journal);
            fs_err::write(&file, record::to_bytes(&[entry])).unwrap();
            let error = recover(&root, &|_| false).unwrap_err();
            assert_eq!(error.code(), "E613", "{error}");
            let hint = error.hint().unwrap();
            assert!(hint.contains(&format!("`rm {}`", file.display())), "{hint}");
            fs_err::remove_file(file).unwrap();
            assert_eq!(outer.files(), before);
        }
    }
    for journal in [BEGUN, COMMITTED] {
        let file = root.join(journal);
        symlink("../victim", &file).unwrap();
        assert_eq!(recover(&root, &|_| false).unwrap_err().code(), "E613");
        fs_err::remove_file(&file).unwrap();
        fs_err::create_dir(&file).unwrap();
        assert_eq!(recover(&root, &|_| false).unwrap_err().code(), "E613");
        fs_err::remove_dir(&file).unwrap();
    }
    fs_err::write(root.join(COMMITTED), "damaged").unwrap();
    assert_eq!(recover(&root, &|_| false).unwrap_err().code(), "E613");
}

#[test]
fn the_journal_of_a_living_process_is_waited_for() {
    let project = Project::new(&[("a", "old")]);
    project.leave(BEGUN, &["a"]);
    let living = File::open(project.path(BEGUN)).unwrap();
    living.try_lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| project.recover().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!waiting.is_finished());
        assert!(project.path(".sparkpack-0").exists());
        // The process commits, and dies.
        fs_err::rename(project.path(BEGUN), project.path(COMMITTED)).unwrap();
        drop(living);
        let recovered = waiting.join().unwrap();
        assert_eq!(recovered, Some(Recovered::Completed(vec!["a".into()])));
    });
    assert_eq!(project.files(), texts(&[("a", "new")]));
}

#[test]
fn several_at_once_leave_every_file_of_one_of_them() {
    let project = Project::new(&[("a", "0"), ("b", "0"), ("c", "0")]);
    std::thread::scope(|scope| {
        for number in 1..5 {
            let project = &project;
            scope.spawn(move || {
                for round in 0..20 {
                    project.recover().unwrap();
                    let text = format!("{number} {round}");
                    let files = [("a", &*text), ("b", &*text), ("c", &*text)];
                    match project.replace(&files) {
                        Ok(_) | Err(ReplaceError::Busy | ReplaceError::Changed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let files = project.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.values().all(|text| *text == files["a"]), "{files:?}");
    assert_ne!(files["a"], "0");
}
