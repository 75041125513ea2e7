use super::*;
use crate::{
    code::Code,
    project::{place::Place, python_code},
};

/// A job with these modules beside those of [`FILES`], and what is found in them.
struct Made {
    files: Vec<(JobFile, PythonCode)>,
    packages: ModuleTree,
    others: Vec<&'static str>,
    has_unknown: bool,
    ignored: Vec<String>,
    python: (u8, u8),
}

const FILES: [(&str, &str); 12] = [
    (
        "main.py",
        "import os, yaml\nfrom pyspark.sql import SparkSession\nfrom jobs import one\nimport jobs.sub.deep\n",
    ),
    ("jobs/__init__.py", "VERSION = 1\n"),
    (
        "jobs/one.py",
        "from . import sub\nfrom .sub.deep import Deep, go\nfrom jobs import VERSION, sub as other\nimport numpy.linalg, dateutil.parser, google.cloud.storage\nfrom google.cloud import storage\nfrom google.cloud.storage import Client\n",
    ),
    ("jobs/sub/__init__.py", ""),
    (
        "jobs/sub/deep.py",
        "class Deep: pass\ndef go(): pass\nfrom ..one import sub\nfrom .. import one\n",
    ),
    ("jobs/open.py", "from os.path import *\n"),
    (
        "jobs/hook.py",
        "import sys\nsys.modules['jobs.hook.made'] = sys\n",
    ),
    (
        "shared/util.py",
        "import shared.util\nfrom shared import util\nfrom .util import util\n",
    ),
    ("code/helpers.py", ""),
    ("tools/mine.py", ""),
    (
        "google/__init__.py",
        "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
    ),
    ("Reports/__init__.py", ""),
];

const PACKAGES: [&str; 9] = [
    "yaml/__init__.py",
    "numpy/__init__.py",
    "numpy/linalg/__init__.py",
    "dateutil/__init__.py",
    "dateutil/parser/__init__.py",
    "google/cloud/storage/__init__.py",
    "tools/__init__.py",
    "azure/core/__init__.py",
    "PyYAML-6.0.dist-info/RECORD",
];

impl Made {
    fn with(modules: &[(&str, &str)]) -> Self {
        let mut packages = ModuleTree::default();
        for path in PACKAGES {
            packages.add(path, 1);
        }
        let mut made = Self {
            files: Vec::new(),
            packages,
            others: vec!["pandas"],
            has_unknown: false,
            ignored: Vec::new(),
            python: (3, 11),
        };
        for (path, text) in FILES.iter().chain(modules) {
            made.files.retain(|(file, _)| file.path != *path);
            let file = JobFile {
                path: (*path).to_owned(),
                shown: format!("src/{path}"),
                is_main: *path == "main.py",
            };
            made.files
                .push((file, python_code::read(text.as_bytes(), made.python)));
        }
        made
    }

    fn imported(&self) -> Imported {
        let files = self.files.iter().map(|(file, code)| (file.clone(), code));
        let files: Vec<(JobFile, &PythonCode)> = files.collect();
        check(&Job {
            python: self.python,
            files: &files,
            data: &["jobs/query.sql", "assets/logo.txt"],
            packages: &self.packages,
            others: &self.others,
            has_unknown: self.has_unknown,
            ignored: &self.ignored,
        })
    }

    fn told(&self) -> Vec<String> {
        let at = Whereabouts {
            in_project: None,
            requirements: Some("requirements.txt".to_owned()),
            image: "images.job".to_owned(),
            src: vec!["src/".to_owned()],
        };
        let findings = self.imported().findings;
        let told = findings.iter().map(|finding| {
            let told = finding.defect(&at, false);
            let defect = told.defect();
            format!("{defect} | {}", defect.hint.as_deref().unwrap_or_default())
        });
        told.collect()
    }
}

fn told_of(text: &str) -> Vec<String> {
    Made::with(&[("jobs/new.py", text)]).told()
}

#[test]
fn modules_in_a_folder_whose_name_cannot_be_written_import_each_other() {
    let made = Made::with(&[
        ("jobs/my-skill/tools/__init__.py", "from .one import go\n"),
        ("jobs/my-skill/tools/one.py", "def go(): pass\n"),
        (
            "jobs/my-skill/run.py",
            "import importlib\nfrom .tools.one import go\nimportlib.import_module('_testbuffer')\n",
        ),
    ]);
    assert_eq!(made.told(), [""; 0]);
    let wrong = ("jobs/my-skill/run.py", "from .tools.own import go\n");
    assert_eq!(Made::with(&[wrong]).told().len(), 1);
}

#[test]
fn what_is_right_is_not_told() {
    let hidden = "import code.helpers\n";
    for text in [
        "",
        "import sys, os.path, json.decoder, xml.etree.ElementTree as ET\n",
        "import pyspark.sql.functions as F\nfrom py4j.java_gateway import JavaGateway\n",
        "import pandas.core.frame\nfrom pandas import DataFrame\n",
        "from jobs.open import join, anything\nimport jobs.open\n",
        "import jobs.hook.made\n",
        "from jobs.sub import deep\nfrom .sub import deep\nfrom . import __doc__, __name__\n",
        "from .one import sub\n",
        "import numpy.nothing\nfrom numpy import nothing\nimport yaml.cyaml\n",
        "import assets\nfrom jobs import query\n" // a folder with data can be imported, a file with data not
            .split_once("from jobs import query\n")
            .unwrap()
            .0,
        "import main\n",
        "import code\nfrom code import InteractiveConsole\n",
        "import shared\nimport Reports\n",
        "try:\n    import missing\nexcept ImportError:\n    missing = None\n",
        "try:\n    import missing\nexcept ImportError:\n    missing = None\ndef f():\n    import missing.part\n",
        "try:\n    import json\nexcept ImportError:\n    import missing\n",
        "if TYPE_CHECKING:\n    import missing\n",
        "import importlib\nimportlib.import_module('jobs.one')\nimportlib.import_module('.one', __package__)\n",
        "if sys.version_info < (3, 11):\n    import missing\n",
        "if sys.platform == 'win32':\n    import missing\n",
        "from google.cloud.storage.blob import Blob\n",
    ] {
        assert_eq!(told_of(text), [""; 0], "{text}");
    }
    assert_eq!(told_of(hidden).len(), 1);
}

/// Each module has one import that is broken, and the message for it.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn thirty_broken_imports_give_thirty_messages() {
    let cases: [(&str, (u32, u32), &str, &str); 36] = [
        // Typing errors.
        (
            "import jobs.onn\n",
            (1, 8),
            "no module `jobs.onn`",
            "did you mean `jobs.one`?",
        ),
        (
            "from jobs.oen import sub\n",
            (1, 6),
            "no module `jobs.oen`",
            "did you mean `jobs.one`?",
        ),
        (
            "from jobs.sub.deep import Deeep\n",
            (1, 27),
            "`jobs.sub.deep` has no `Deeep`",
            "did you mean `Deep`?",
        ),
        (
            "from jobs import onee\n",
            (1, 18),
            "`jobs` has no `onee`",
            "did you mean `one`?",
        ),
        (
            "import os.pathx\n",
            (1, 8),
            "no module `os.pathx`: Python's `os`",
            "correct the name",
        ),
        (
            "import nunpy\n",
            (1, 8),
            "no module `nunpy`",
            "did you mean `numpy`?",
        ),
        (
            "import jsn\n",
            (1, 8),
            "no module `jsn`",
            "did you mean `json`?",
        ),
        // Missing requirements.
        (
            "import sklearn.linear_model\n",
            (1, 8),
            "no module `sklearn`",
            "`sklearn` is in scikit-learn: add `scikit-learn` to requirements.txt",
        ),
        (
            "import cv2\n",
            (1, 8),
            "no module `cv2`",
            "`cv2` is in opencv-python",
        ),
        (
            "from PIL import Image\n",
            (1, 6),
            "no module `PIL`",
            "`PIL` is in Pillow",
        ),
        (
            "def f():\n    from bs4 import BeautifulSoup\n",
            (2, 10),
            "no module `bs4`",
            "`bs4` is in beautifulsoup4",
        ),
        (
            "import company_tools\n",
            (1, 8),
            "no module `company_tools`",
            "add the package that has it to requirements.txt",
        ),
        (
            "from google.cloud import bigquery\n",
            (1, 26),
            "no module `google.cloud.bigquery`",
            "is in google-cloud-bigquery",
        ),
        (
            "import azure.identity\n",
            (1, 8),
            "no module `azure.identity`",
            "`azure.identity` is in azure-identity",
        ),
        // The repository's other packages: the caller finds where they are.
        (
            "from datajob.configs import load\n",
            (1, 6),
            "no module `datajob`",
            "add the package that has it",
        ),
        // Under conditions.
        (
            "import os\nif os.environ.get('X'):\n    import missing\n",
            (3, 12),
            "no module `missing`",
            "add the package",
        ),
        (
            "try:\n    import missing\nexcept ImportError:\n    import gone\n",
            (4, 12),
            "no module `gone`",
            "add the package",
        ),
        (
            "try:\n    import missing\nexcept ValueError:\n    pass\n",
            (2, 12),
            "no module `missing`",
            "add the package",
        ),
        (
            "import sys\nif sys.version_info >= (3, 8):\n    import missing\n",
            (3, 12),
            "no module `missing`",
            "add the package",
        ),
        (
            "if not TYPE_CHECKING:\n    import missing\n",
            (2, 12),
            "no module `missing`",
            "add the package",
        ),
        // Too far.
        (
            "from ... import x\n",
            (1, 6),
            "the 3 dots lead out of all packages: the file is in `jobs`",
            "take dots away",
        ),
        (
            "from ...other import x\n",
            (1, 9),
            "the 3 dots lead out of all packages",
            "take dots away",
        ),
        (
            "from .missing import x\n",
            (1, 7),
            "no module `jobs.missing`",
            "correct the name",
        ),
        // In another case.
        (
            "import reports\n",
            (1, 8),
            "`reports` is not there, but `Reports`",
            "write `Reports`",
        ),
        (
            "from jobs import One\n",
            (1, 18),
            "`jobs.One` is not there, but `jobs.one`",
            "write `jobs.one`",
        ),
        (
            "import jobs.Sub.deep\n",
            (1, 8),
            "`jobs.Sub` is not there, but `jobs.sub`",
            "write `jobs.sub`",
        ),
        (
            "import Yaml\n",
            (1, 8),
            "`Yaml` is not there, but `yaml`",
            "write `yaml`",
        ),
        // Without `__init__.py`.
        (
            "import code.helpers\n",
            (1, 8),
            "the folder `code` has no `__init__.py`, and `code` of the standard library",
            "rename the folder",
        ),
        (
            "from code import helpers\n",
            (1, 18),
            "Python does not find `code.helpers`",
            "rename the folder",
        ),
        (
            "from tools.mine import x\n",
            (1, 6),
            "the package `tools` of a distribution comes before it",
            "tools/__init__.py",
        ),
        (
            "from shared import VALUE\n",
            (1, 20),
            "`shared` has no `VALUE`: it is a folder without `__init__.py`",
            "write `VALUE` into",
        ),
        (
            "import jobs.one.part\n",
            (1, 8),
            "`jobs.one` is a file, src/jobs/one.py",
            "make `jobs.one` a folder",
        ),
        // Dynamic ones.
        (
            "import importlib\nimportlib.import_module('jobs.onne')\n",
            (2, 25),
            "no module `jobs.onne`",
            "did you mean `jobs.one`?",
        ),
        (
            "__import__('missing')\n",
            (1, 12),
            "no module `missing`",
            "add the package",
        ),
        // Of another Python.
        (
            "import asyncore.x, distutils\nimport compression.zstd\n",
            (2, 8),
            "no module `compression.zstd` in Python 3.11: it came with 3.14",
            "another `python`",
        ),
        (
            "import jobs.query\n",
            (1, 8),
            "no module `jobs.query`",
            "correct the name",
        ),
    ];
    for (text, (line, column), message, hint) in cases {
        let told = told_of(text);
        let place = format!("src/jobs/new.py:{line}:{column}: ");
        let told: Vec<&String> = told
            .iter()
            .filter(|told| !told.contains("asyncore"))
            .collect();
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        let (said, cure) = told[0].split_once(" | ").unwrap();
        assert!(said.starts_with(&place), "{text}: {said}");
        assert!(said.contains(message), "{text}: {said}");
        assert!(cure.contains(hint), "{text}: {cure}");
    }
}

#[test]
fn a_file_that_is_started_is_in_no_package() {
    for (path, wanted) in [
        ("main.py", "a file that is started is in no package"),
        ("loose.py", "the file is in no package"),
    ] {
        let told = Made::with(&[(path, "from .jobs import one\n")]).told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains(wanted) && told[0].contains("`jobs`"),
            "{told:?}"
        );
    }
}

#[test]
fn a_package_of_the_job_can_hide_those_of_distributions() {
    let text = "import azure.core\nfrom azure.core import x\n";
    let made =
        |init: &'static str| Made::with(&[("azure/__init__.py", init), ("jobs/new.py", text)]);
    let told = made("").told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("the job has a package `azure` of its own"),
        "{told:?}"
    );
    assert!(told[0].contains("remove `azure/__init__.py`"), "{told:?}");
    assert_eq!(
        made("__path__ = extend_path(__path__, __name__)\n").told(),
        [""; 0]
    );
}

#[test]
fn where_something_is_unknown_only_the_job_itself_is_judged() {
    let text = "import missing, sklearn, Yaml\nfrom google.cloud import bigquery\nimport jobs.on\nfrom jobs import onee\nimport telnetlib\n";
    let mut made = Made::with(&[("jobs/new.py", text)]);
    assert_eq!(made.told().len(), 6);
    made.has_unknown = true;
    let told = made.told();
    assert_eq!(told.len(), 2, "{told:?}");
    // So it is where the program itself adds to the path.
    for search in [
        "import sys\nsys.path.append(x)\n",
        "sc.addPyFile('s3://x')\n",
        "import sys\nsys.path.insert(0, '/data/code')\n",
    ] {
        let made = Made::with(&[("jobs/new.py", text), ("jobs/path.py", search)]);
        assert_eq!(made.told().len(), 2, "{search}");
    }
    let made = Made::with(&[
        ("jobs/new.py", text),
        (
            "jobs/path.py",
            "import sys\nsys.path.insert(0, 'jobs.zip')\nsys.path.insert(0, '.')\n",
        ),
    ]);
    assert_eq!(made.told().len(), 6);
}

#[test]
fn folders_that_the_program_adds_to_the_path_are_searched() {
    let near = "import sys, os\nsys.path.append(os.path.dirname(__file__))\nimport deep\n";
    for (path, text, is_found) in [
        ("jobs/sub/new.py", near, true),
        ("jobs/new.py", near, false),
        (
            "jobs/new.py",
            "import sys\nsys.path.insert(0, './jobs/sub')\nimport deep\n",
            true,
        ),
        (
            "jobs/new.py",
            "import sys\nsys.path.insert(0, '/opt/job/jobs/sub/')\nimport deep\n",
            true,
        ),
        ("jobs/new.py", "import deep\n", false),
    ] {
        let told = Made::with(&[(path, text)]).told();
        assert_eq!(told.is_empty(), is_found, "{path} {text}: {told:?}");
    }
}

#[test]
fn what_another_file_gives_to_a_module_is_in_it() {
    let text = "from jobs.sub.deep import later\n";
    for (other, count) in [
        ("from jobs.sub import deep\ndeep.later = 1\n", 0),
        ("deep.later = 1\n", 1),
    ] {
        let made = Made::with(&[("jobs/new.py", text), ("jobs/other.py", other)]);
        assert_eq!(made.told().len(), count, "{other}");
    }
}

#[test]
fn modules_can_be_left_out_of_the_check() {
    let text = "import missing.part\nimport other\nfrom jobs import onee\n";
    for (ignored, left) in [
        (&[][..], 3),
        (&["missing"][..], 2),
        (&["missing.*"][..], 2),
        (&["miss"][..], 3),
        (&["missing.part", "other", "jobs.onee"][..], 0),
        (&["*"][..], 0),
    ] {
        let mut made = Made::with(&[("jobs/new.py", text)]);
        made.ignored = ignored.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(made.told().len(), left, "{ignored:?}");
    }
}

#[test]
fn a_module_with_a_name_of_others_is_told() {
    let shadowing = |path: &str| {
        let made = Made::with(&[(path, "x = 1\n")]);
        made.told()
    };
    for (path, wanted) in [
        (
            "json.py",
            "src/json.py:1:1: the module `json` of the job takes the place of that of Python's standard library",
        ),
        (
            "types/__init__.py",
            "src/types/__init__.py:1:1: the module `types`",
        ),
        (
            "pyspark/__init__.py",
            "the module `pyspark` of the job takes the place of that of Spark",
        ),
    ] {
        let told = shadowing(path);
        assert!(
            told.iter().any(|told| told.contains(wanted)),
            "{path}: {told:?}"
        );
    }
    for path in [
        "jobs/json.py",
        "json/x.py",
        "test/__init__.py",
        "tomli.py",
        "compression.py",
    ] {
        assert_eq!(shadowing(path), [""; 0], "{path}");
    }
    let mut made = Made::with(&[("json.py", "")]);
    made.ignored = vec!["json".to_owned()];
    assert_eq!(made.told(), [""; 0]);
}

#[test]
fn what_python_cannot_read_is_an_error_and_says_nothing_else() {
    let made = Made::with(&[
        ("jobs/old.py", "import missing\nprint 'x'\n"),
        ("jobs/new.py", "from jobs.old import x\nimport jobs.old.y\n"),
    ]);
    let findings = made.imported().findings;
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    let defect = finding.defect(&Whereabouts::default(), false);
    let Told::Error(defect) = defect else {
        panic!("{defect:?}");
    };
    assert_eq!(defect.code, Code::E208);
    assert_eq!(
        defect.place,
        Place {
            file: "src/jobs/old.py".into(),
            line: 2,
            column: 7
        }
    );
    assert_eq!(defect.message, "`print` as a statement is Python 2");
    assert_eq!(defect.hint.as_deref(), Some("write `print(…)`"));
}

#[test]
fn where_a_module_of_the_project_is_decides_the_cure() {
    let made = Made::with(&[("jobs/new.py", "import datajob.x\nfrom jobs import tests\n")]);
    let findings = made.imported().findings;
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].missing(), Some("datajob"));
    let at = |why| Whereabouts {
        in_project: Some(("datajob".to_owned(), why)),
        requirements: None,
        image: "images.job".to_owned(),
        src: vec!["src/".to_owned()],
    };
    let defect = findings[0].defect(&at(NotInJob::Elsewhere), false);
    let defect = defect.defect().clone();
    assert_eq!(
        defect.message,
        "`datajob` is in this repository (datajob), but not in the job"
    );
    assert_eq!(
        defect.hint.unwrap(),
        "add it to `src` of [images.job]: `src = [\"src/\", \"datajob\"]`"
    );
    let defect = findings[0].defect(&at(NotInJob::LeftOut("datajob/".to_owned())), false);
    let defect = defect.defect().clone();
    assert_eq!(
        defect.message,
        "`datajob` is in this repository (datajob), but left out of the job"
    );
    assert_eq!(
        defect.hint.unwrap(),
        "take it by `include = [\"/datajob/\"]`, or correct `exclude`"
    );
}

#[test]
fn the_first_import_of_each_part_is_known() {
    let imported = Made::with(&[]).imported();
    let needs: Vec<(u32, &str, &str)> = imported
        .needs
        .iter()
        .map(|need| (need.part, need.file.as_str(), need.module.as_str()))
        .collect();
    assert_eq!(needs, [(1, "src/main.py", "yaml")]);
}
