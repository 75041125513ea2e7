//! A context that has files with the names of what sparkpack puts there.

use super::*;

#[test]
fn a_file_of_the_context_takes_no_name_of_the_package() {
    for (file, copy, wanted) in [
        ("dist/main.py", "dist/", true),
        ("dist/main.py", "dist/main.py", true),
        ("dist/jobs.zip", ".", true),
        ("dist/libs.zip", "dist", true),
        ("dist/site-packages/x/y.so", "dist", true),
        ("dist/mine.txt", "dist/mine.txt", false),
        ("dist/main.pyc", "dist", false),
        ("dist/main.py", "jobs", false),
        ("distant/main.py", ".", false),
        ("site-packages/x", ".", false),
    ] {
        let project = Project::small();
        let src = "src = \"src\"\n";
        project.edit("sparkpack.toml", src, &format!("{src}context = \"src\"\n"));
        project.write(&format!("src/{file}"), "mine");
        let dockerfile = format!("FROM base\nCOPY {copy} /opt/\n");
        project.write("job.Dockerfile", &dockerfile);
        let events = Recorder::default();
        let prepared = prepared(&project.session(&events), LockPolicy::ReadOnly);
        let error = prepared
            .err()
            .map(|error| (error.code(), error.to_string()));
        let message =
            format!("`{file}` in the context of `job` has the name of what sparkpack puts there");
        match error {
            Some((code, text)) => {
                assert!(wanted && text.ends_with(&message), "{file} {copy}: {text}");
                assert_eq!(code, Code::E090);
            }
            None => assert!(!wanted, "{file} {copy}"),
        }
    }
}

#[test]
fn a_file_of_the_context_takes_no_name_of_a_wheel() {
    for (requirements, wanted) in [(true, true), (false, false)] {
        let project = Project::small();
        if requirements {
            let table = "dockerfile = \"base.Dockerfile\"\n";
            let with_requirements = format!("{table}requirements = \"requirements.txt\"\n");
            project.edit("sparkpack.toml", table, &with_requirements);
            project.write("requirements.txt", "");
        }
        project.write("site-packages/six.py", "mine");
        project.write("base.Dockerfile", "FROM scratch\nCOPY site-packages /opt\n");
        let events = Recorder::default();
        let prepared = prepared(&project.session(&events), LockPolicy::ReadOnly);
        let code = prepared.err().map(|error| error.code());
        assert_eq!(code == Some(Code::E090), wanted, "{code:?}");
    }
}
