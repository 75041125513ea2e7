//! What is said of imports is so: every module of the wheels of well-known packages, their own tests among them, is read as
//! if it were a job's, and the chain's own Python is asked about everything that is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use rayon::prelude::*;
use serde_json::{Value, json};
use sparkpack::{
    package::imports::{Finding, Job, JobFile, ModuleTree, Problem, check},
    project::python_code::{self, Need, PythonCode},
};

use crate::{
    example::run_container,
    packages::{PACKAGES, Packages},
};

const PYTHON: (u8, u8) = (3, 11);

/// Asks the chain's Python; knows nothing of sparkpack's.
const ORACLE: &str = include_str!("imports_oracle.py");

/// Fewer modules than this were not worth the name of a test.
const MODULES: usize = 5_000;

/// The files of installed wheels, in one folder.
struct Tree {
    folder: tempfile::TempDir,
    /// By the first part of their paths: the modules at the top, with all that is in them.
    parts: BTreeMap<String, Vec<String>>,
}

impl Tree {
    /// What a project's job brings: packed by sparkpack, and unpacked here.
    fn of(packages: &Packages) -> Self {
        packages.project.succeed(&["lock"]);
        packages.project.succeed(&["package"]);
        let dist = packages.project.root().join("dist");
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("tree");
        fs_err::create_dir(&target).unwrap();
        let site_packages = dist.join("site-packages");
        if site_packages.exists() {
            let all = site_packages.join(".");
            crate::support::program("cp", &["-R".as_ref(), all.as_path(), &target]);
        }
        let archive = dist.join("libs.zip");
        if archive.exists() {
            let archive = fs_err::File::open(archive).unwrap();
            let mut archive = zip::ZipArchive::new(archive).unwrap();
            archive.extract(&target).unwrap();
        }
        let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&target).sort_by_file_name() {
            let entry = entry.unwrap();
            if entry.file_type().is_dir() {
                continue;
            }
            let path = entry.path().strip_prefix(&target).unwrap();
            let path = path.to_str().unwrap().to_owned();
            let top = path.split(['/', '.']).next().unwrap().to_owned();
            parts.entry(top).or_default().push(path);
        }
        parts.retain(|top, _| !top.is_empty() && !top.contains('-'));
        Self { folder, parts }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// A text that is another one where a part has other files.
    fn key_of(&self, part: &str) -> String {
        let files = self.parts[part].iter();
        let rows = files.map(|file| {
            let size = fs_err::metadata(self.path().join(file)).unwrap().len();
            format!("{file} {size}\n")
        });
        rows.collect()
    }

    fn add_to(&self, modules: &mut ModuleTree, but: Option<&str>) {
        for (top, files) in &self.parts {
            if Some(top.as_str()) != but {
                for file in files {
                    modules.add(file, 0);
                }
            }
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Counts {
    modules: usize,
    imports: usize,
    parts: usize,
    findings: BTreeMap<&'static str, usize>,
}

/// A part of a tree as the code of a job.
struct Part<'a> {
    tree: &'a Tree,
    below: Option<&'a Tree>,
    files: Vec<(JobFile, PythonCode)>,
    data: Vec<&'a str>,
    name: &'a str,
}

impl<'a> Part<'a> {
    fn read(tree: &'a Tree, below: Option<&'a Tree>, name: &'a str) -> Self {
        let is_python = |path: &&String| Path::new(path).extension().is_some_and(|end| end == "py");
        let (modules, data): (Vec<&String>, Vec<&String>) =
            tree.parts[name].iter().partition(is_python);
        let pool = rayon::ThreadPoolBuilder::new().stack_size(python_code::STACK);
        let read = |path: &&String| {
            let file = JobFile {
                path: (*path).clone(),
                shown: (*path).clone(),
                is_main: false,
            };
            let bytes = fs_err::read(tree.path().join(path)).unwrap();
            (file, python_code::read(&bytes, PYTHON))
        };
        Self {
            tree,
            below,
            files: pool
                .build()
                .unwrap()
                .install(|| modules.par_iter().map(read).collect()),
            data: data.into_iter().map(String::as_str).collect(),
            name,
        }
    }

    /// What is found in it, first as for every job, then as if the program could do without no import, and changed nothing
    /// of where Python looks: that is where most is found.
    fn findings(&self) -> Vec<Finding> {
        let mut packages = ModuleTree::default();
        self.tree.add_to(&mut packages, Some(self.name));
        if let Some(below) = self.below {
            below.add_to(&mut packages, Some(self.name));
        }
        let check = |files: &[(JobFile, PythonCode)]| {
            let files = files.iter().map(|(file, code)| (file.clone(), code));
            let files: Vec<(JobFile, &PythonCode)> = files.collect();
            let job = Job {
                python: PYTHON,
                files: &files,
                data: &self.data,
                packages: &packages,
                others: &[],
                has_unknown: false,
                ignored: &[],
            };
            check(&job).findings
        };
        let mut found = check(&self.files);
        let mut strict = self.files.clone();
        for (_, code) in &mut strict {
            code.search.clear();
            for import in &mut code.imports {
                import.need = Need::Needed;
            }
        }
        for finding in check(&strict) {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        found
    }
}

/// A finding as the oracle knows it, and its kind.
fn described(finding: &Finding) -> (&'static str, Value) {
    let (kind, module, name) = match &finding.problem {
        Problem::Syntax { .. } => ("Syntax", "", ""),
        Problem::Nowhere { module, .. } => ("Nowhere", module.as_str(), ""),
        Problem::NotInPackage { package, name, .. } => ("NotInPackage", package.as_str(), &**name),
        Problem::NoSuchName { module, name, .. } => ("NoSuchName", module.as_str(), &**name),
        Problem::OtherCase { written, .. } => ("OtherCase", written.as_str(), ""),
        Problem::NotAPackage { module, name, .. } => ("NotAPackage", module.as_str(), &**name),
        Problem::TooFar { .. } => ("TooFar", "", ""),
        Problem::NoPackage { .. } => ("NoPackage", "", ""),
        Problem::Hidden { module, .. } => ("Hidden", module.as_str(), ""),
        Problem::Hides { module, .. } => ("Hides", module.as_str(), ""),
        Problem::OtherPython { module, .. } => ("OtherPython", module.as_str(), ""),
        Problem::Shadows { module, .. } => ("Shadows", "", module.as_str()),
    };
    let level = match &finding.problem {
        Problem::TooFar { level, .. } => *level,
        _ => 1,
    };
    let told = json!({
        "kind": kind, "file": finding.file, "path": format!("/tree/{}", finding.file),
        "line": finding.at.0, "module": module, "name": name, "level": level,
    });
    (kind, told)
}

/// What the chain's Python says against the findings in a tree.
fn asked(
    image: &str,
    trees: [Option<&Tree>; 2],
    findings: &[Value],
    files: &[String],
) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let request = json!({"path": ["/tree", "/below"], "files": files, "findings": findings});
    fs_err::write(at("request.json"), request.to_string()).unwrap();
    fs_err::write(at("oracle.py"), ORACLE).unwrap();
    let mut mounts = vec![format!("{}:/asked:ro", folder.path().display())];
    for (tree, place) in trees.into_iter().zip(["/tree", "/below"]) {
        mounts.extend(tree.map(|tree| format!("{}:{place}:ro", tree.path().display())));
    }
    let mut arguments = vec!["--user=0", "--entrypoint=python3"];
    arguments.extend(mounts.iter().flat_map(|mount| ["--volume", mount.as_str()]));
    arguments.extend([image, "/asked/oracle.py", "/asked/request.json"]);
    let run = run_container(&arguments);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    let answer: Value = serde_json::from_str(run.stdout.trim()).unwrap();
    let texts = |key: &str| {
        let texts = answer[key].as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned())
    };
    let unread =
        texts("unread").map(|file| format!("nothing is said of {file}, which is not compiled"));
    texts("wrong").chain(unread).collect()
}

/// Reads those parts of a tree that are not known yet; what is said wrongly of them.
fn read_tree(
    image: &str,
    tree: &Tree,
    below: Option<&Tree>,
    known: &mut BTreeSet<String>,
    counts: &mut Counts,
) -> Vec<String> {
    let (mut findings, mut files) = (Vec::new(), Vec::new());
    for name in tree.parts.keys() {
        if !known.insert(tree.key_of(name)) {
            continue;
        }
        let part = Part::read(tree, below, name);
        counts.parts += 1;
        counts.modules += part.files.len();
        counts.imports += part
            .files
            .iter()
            .map(|(_, code)| code.imports.len())
            .sum::<usize>();
        files.extend(
            part.files
                .iter()
                .map(|(file, _)| format!("/tree/{}", file.path)),
        );
        for finding in part.findings() {
            let (kind, told) = described(&finding);
            *counts.findings.entry(kind).or_default() += 1;
            findings.push(told);
        }
    }
    asked(image, [Some(tree), below], &findings, &files)
}

#[test]
fn nothing_false_is_said_of_the_modules_of_wheels() {
    let begin = Instant::now();
    let packages = Packages::new("imports.test/imports");
    packages.use_parent("py");
    packages.project.succeed(&["build", "py"]);
    let image = packages.project.reference("py");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("dockerfiles/ds/requirements.txt");
    packages.require(&fs_err::read_to_string(own).unwrap());
    let below = Tree::of(&packages);
    let (mut known, mut counts) = (BTreeSet::new(), Counts::default());
    let mut wrong = read_tree(&image, &below, None, &mut known, &mut counts);

    packages.use_parent("ds");
    for package in &PACKAGES {
        packages.require(&format!("{}\n", package.requirement));
        let tree = Tree::of(&packages);
        let found = read_tree(&image, &tree, Some(&below), &mut known, &mut counts);
        let of = package.requirement;
        wrong.extend(found.into_iter().map(|wrong| format!("{of}: {wrong}")));
    }
    let Counts {
        modules,
        imports,
        parts,
        findings,
    } = counts;
    writeln!(
        std::io::stderr(),
        "\n{modules} modules of {parts} packages with {imports} imports in {:.0} s; found and asked about: {findings:?}",
        begin.elapsed().as_secs_f64()
    )
    .unwrap();
    assert!(modules > MODULES, "{modules} modules");
    assert!(findings["Nowhere"] > 100, "{findings:?}");
    assert!(
        wrong.is_empty(),
        "{} are false:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
