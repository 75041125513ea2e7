use super::*;

fn code(text: &str, python: (u8, u8)) -> PythonCode {
    read(text.as_bytes(), python)
}

fn error(text: &str, python: (u8, u8)) -> Option<(u32, u32, String)> {
    let error = code(text, python).error?;
    Some((error.at.0, error.at.1, error.message))
}

/// The imports in few words: `?` before one that is optional, `|` before an alternative.
fn imports(text: &str) -> Vec<String> {
    let code = code(text, (3, 11));
    assert_eq!(code.error, None, "{text}");
    let word = |import: &Import| {
        let mark = match import.need {
            Need::Needed => "",
            Need::Optional => "?",
            Need::Unless(..) => "|",
        };
        let dots = ".".repeat(import.level as usize);
        let names: Vec<&str> = import.names.iter().map(|(_, name)| name.as_str()).collect();
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(":{}", names.join(","))
        };
        format!("{mark}{dots}{}{names}", import.module)
    };
    code.imports.iter().map(word).collect()
}

#[test]
fn what_a_python_does_not_know_is_an_error_for_it() {
    for (text, first, place) in [
        ("match x:\n    case 1: pass\n", 10, (1, 1)),
        ("try:\n    pass\nexcept* E:\n    pass\n", 11, (3, 7)),
        ("def f[T](x): pass\n", 12, (1, 6)),
        ("type X = int\n", 12, (1, 1)),
        ("x = f'{a['b']}'\n", 12, (1, 10)),
        ("x = t'a'\n", 14, (1, 5)),
        ("if True:\n  with (a as b, c as d):\n    pass\n", 9, (2, 8)),
        ("x = [*a, *b][*c]\n", 11, (1, 14)),
        ("if (n := 1): pass\n", 8, (1, 5)),
        ("def f(a, /): pass\n", 8, (1, 10)),
    ] {
        for minor in 7..15 {
            let found = error(text, (3, minor));
            let at = found.as_ref().map(|(line, column, _)| (*line, *column));
            assert_eq!(at, (minor < first).then_some(place), "3.{minor}: {text:?}");
            if let Some((_, _, message)) = found {
                assert!(
                    message.contains(&format!("on Python 3.{minor}")),
                    "{message}"
                );
                assert!(
                    message.contains(&format!("added in Python 3.{first}")),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn python_2_is_recognised() {
    for (text, place, wanted) in [
        ("print 'x'\n", (1, 7), "`print` as a statement"),
        ("if a: print a, b\n", (1, 13), "`print` as a statement"),
        ("exec 'a'\n", (1, 6), "`exec` as a statement"),
        ("raise E, 'x'\n", (1, 7), "`raise` with a comma"),
        (
            "try:\n  a\nexcept E, e:\n  pass\n",
            (3, 8),
            "`except` with a comma",
        ),
        ("x = `y`\n", (1, 5), "backquotes"),
        ("a <> b\n", (1, 4), "`<>`"),
        ("x = 0777\n", (1, 5), "begins with 0"),
        ("x = 10L\n", (1, 7), "ends with L"),
        ("x = ur'x'\n", (1, 7), "begins with `ur`"),
    ] {
        let error = code(text, (3, 11)).error.expect(text);
        assert_eq!(
            (error.at.0, error.at.1),
            place,
            "{text:?} {}",
            error.message
        );
        assert!(
            error.message.contains(wanted),
            "{text:?}: {}",
            error.message
        );
        assert!(error.message.ends_with(" Python 2"), "{}", error.message);
        assert!(error.hint.is_some());
    }
    for text in [
        "print('x')\n",
        "print\n",
        "exec('a')\n",
        "x = 0o777 + 10\n",
        "raise E('x')\n",
    ] {
        assert_eq!(error(text, (3, 11)), None, "{text:?}");
    }
}

#[test]
fn the_first_error_of_a_file_has_its_place() {
    for (text, wanted) in [
        ("x = 5 +\n", (1, 8, "expected an expression")),
        (
            "def f():\n  pass\n pass\n",
            (3, 1, "unindent does not match"),
        ),
        (
            "class A:\n  def f(self):\n  pass\n",
            (3, 3, "expected an indented block"),
        ),
        ("é = 'abc\n", (1, 5, "missing closing quote")),
        ("x = 1\r\ny = )\r\n", (2, 5, "expected an expression")),
        ("x = 1\ry = )\r", (2, 5, "expected an expression")),
        ("{{ cookiecutter.name }} = 1 2\n", (1, 1, "")),
        ("f() = 5\n", (1, 1, "invalid assignment target")),
        ("<<<<<<< HEAD\nx = 1\n", (1, 1, "expected")),
    ] {
        let (line, column, message) = error(text, (3, 11)).expect(text);
        assert_eq!((line, column), (wanted.0, wanted.1), "{text:?}: {message}");
        assert!(message.contains(wanted.2), "{message}");
    }
}

#[test]
fn a_file_is_decoded_as_python_does_it() {
    assert_eq!(read(b"\xef\xbb\xbfimport a\n", (3, 11)).imports.len(), 1);
    let latin = b"# -*- coding: latin-1 -*-\nimport a\nx = '\xe9'\n";
    assert_eq!(read(latin, (3, 11)).imports.len(), 1);
    let second = b"#!/usr/bin/python\n# vim: set fileencoding=iso_8859_1 :\nx = '\xe9'\nimport b\n";
    assert_eq!(read(second, (3, 11)).imports.len(), 1);
    // What is in an encoding that is not known here says nothing.
    let other = b"# coding: shift_jis\nprint 'x'\n\x83\x5c\n";
    assert_eq!(read(other, (3, 11)), PythonCode::default());
    let wrong = read(b"import a\nx = '\xe9'\n", (3, 11)).error.unwrap();
    assert_eq!(
        (wrong.at, wrong.message.as_str()),
        (Position(2, 6), "byte 0xe9 is not UTF-8")
    );
    let zero = read(b"import a\n\0", (3, 11)).error.unwrap();
    assert_eq!(
        (zero.at, zero.message.as_str()),
        (Position(2, 1), "the file has a zero byte")
    );
}

#[test]
fn imports_are_found_in_every_form() {
    for (text, wanted) in [
        ("import a.b as c, d\n", &["a.b", "d"][..]),
        (
            "from . import x\nfrom ..y import (\n  z,\n  w as v)\n",
            &[".:x", "..y:z,w"],
        ),
        ("from a import *\n", &["a"]),
        (
            "def f():\n  import a\n  class C:\n    import b\n",
            &["a", "b"],
        ),
        ("for x in y: import a\nelse: import b\n", &["a", "b"]),
        ("while x: import a\n", &["a"]),
        ("with x: import a\n", &["a"]),
        ("match x:\n  case 1: import a\n", &["a"]),
        (
            "import importlib\nimportlib.import_module('a.b')\n",
            &["importlib", "a.b"],
        ),
        ("x = [import_module('a') for y in z]\n", &["a"]),
        (
            "import_module('.a', __package__)\nimport_module('..b', package=__package__)\n",
            &[".a", "..b"],
        ),
        (
            "import_module('.a', 'b')\nimport_module(name)\nimport_module(f'a.{b}')\n",
            &[],
        ),
        (
            "__import__('a')\n__import__('b', globals(), locals(), ['x'])\nx.__import__('c')\n",
            &["a", "b"],
        ),
        ("import_module('not a name')\nimport_module('')\n", &[]),
        ("raise X\nimport a\n", &[]),
        ("def f():\n  return 1\n  import a\nimport b\n", &["b"]),
    ] {
        assert_eq!(imports(text), wanted, "{text:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_a_program_can_do_without_is_optional() {
    for (text, wanted) in [
        (
            "try:\n  import a\nexcept ImportError:\n  import b\n",
            &["?a", "|b"][..],
        ),
        (
            "try:\n  import a\nexcept (KeyError, ModuleNotFoundError):\n  a = None\nelse:\n  import c\n",
            &["?a", "?c"],
        ),
        (
            "try:\n  import a\nexcept Exception as e:\n  pass\nfinally:\n  import b\n",
            &["?a", "b"],
        ),
        ("try:\n  import a\nexcept:\n  pass\n", &["?a"]),
        (
            "try:\n  import a\nexcept builtins.ImportError:\n  pass\n",
            &["?a"],
        ),
        (
            "try:\n  import a\nexcept ValueError:\n  import b\n",
            &["a", "b"],
        ),
        ("try:\n  x()\nexcept Exception:\n  import b\n", &["b"]),
        (
            "try:\n  try:\n    import a\n  except ImportError:\n    import b\nexcept ImportError:\n  import c\n",
            &["?a", "?b", "|c"],
        ),
        ("with suppress(ImportError):\n  import a\n", &["?a"]),
        (
            "with contextlib.suppress(ValueError):\n  import a\n",
            &["a"],
        ),
        ("if TYPE_CHECKING:\n  import a\nelse:\n  import b\n", &["b"]),
        ("if typing.TYPE_CHECKING or x:\n  import a\n", &["a"]),
        ("if not TYPE_CHECKING: import a\n", &["a"]),
        (
            "if False:\n  import a\nif 0:\n  import b\nif 1: import c\n",
            &["c"],
        ),
        (
            "if x:\n  import a\nelif y:\n  import b\nelse:\n  import c\n",
            &["a", "b", "c"],
        ),
        (
            "if sys.platform == 'win32':\n  import a\nelse:\n  import b\n",
            &["?a", "?b"],
        ),
        ("if os.name == 'nt': import a\n", &["?a"]),
        ("if platform.system() == 'Darwin': import a\n", &["?a"]),
        ("if sys.platform.startswith('win'): import a\n", &["?a"]),
        (
            "if importlib.util.find_spec('a') is not None: import a\n",
            &["?a"],
        ),
        ("if sys.argv[1] == 'x': import a\n", &["a"]),
        ("if six.PY2: import a\nelse: import b\n", &["b"]),
        (
            "try:\n  importlib.import_module('a')\nexcept ImportError: pass\n",
            &["?a"],
        ),
    ] {
        assert_eq!(imports(text), wanted, "{text:?}");
    }
}

#[test]
fn conditions_on_the_version_are_those_of_the_image() {
    for (condition, from, to) in [
        ("sys.version_info >= (3, 11)", 11, 14),
        ("sys.version_info > (3, 11)", 11, 14),
        ("sys.version_info < (3, 11)", 8, 10),
        ("sys.version_info <= (3, 11)", 8, 10),
        ("sys.version_info[:2] <= (3, 11)", 8, 11),
        ("sys.version_info[:2] == (3, 9)", 9, 9),
        ("sys.version_info.minor >= 12", 12, 14),
        ("sys.version_info[1] != 8", 9, 14),
        ("sys.version_info[0] == 3", 8, 14),
        ("sys.version_info.major < 3", 0, 0),
        ("sys.version_info >= (3,)", 8, 14),
        ("version_info >= (3, 9, 1) and True", 10, 14),
        (
            "sys.version_info >= (3, 10) and not sys.version_info >= (3, 12)",
            10,
            11,
        ),
        ("PY2 or sys.version_info < (3, 9)", 8, 8),
    ] {
        for minor in 8..15 {
            let code = code(&format!("if {condition}:\n  import a\n"), (3, minor));
            let is_asked = condition.contains("(3, 9, 1)") && minor == 9;
            let needed = code
                .imports
                .iter()
                .any(|import| import.need == Need::Needed);
            assert_eq!(
                needed,
                (from..=to).contains(&minor) && !is_asked,
                "3.{minor} {condition}"
            );
            assert_eq!(code.imports.len(), usize::from(needed || is_asked));
        }
    }
}

#[test]
fn the_names_of_a_module_are_those_that_it_binds() {
    let text = "
import a.b, c as d
from e import f as g, h
x, (y, *z) = 1, [2]
w: int = 1
v += 1
def function():
    inner = 1
    global made
    made = 2
class Class:
    attribute = 1
for i in []: j = 1
with k as l: pass
try:
    m = 1
except E as n:
    o = 2
if (p := 1): q = 2
type R = int
";
    let names = code(text, (3, 12)).names.unwrap();
    let wanted = [
        "Class", "R", "a", "d", "function", "g", "h", "i", "j", "l", "m", "made", "n", "o", "p",
        "q", "v", "w", "x", "y", "z",
    ];
    assert_eq!(names, wanted);
    for text in [
        "from a import *\n",
        "def __getattr__(name): pass\n",
        "globals()['x'] = 1\n",
        "import sys\nsys.modules[__name__] = X()\n",
        "match x:\n  case [a, b]: pass\n",
    ] {
        assert_eq!(code(text, (3, 12)).names, None, "{text}");
    }
    assert_eq!(
        code("def f():\n  from a import b\n", (3, 12))
            .names
            .unwrap(),
        ["f"]
    );
}

#[test]
fn what_is_given_to_other_modules_is_known() {
    let text = "import a.b\nfrom c import d as e\na.one = 1\ne.two = b.three = 2\nself.four = 3\nx.five = 4\ndef f():\n    import g\n    g.six = 5\n    a.b.seven = 6\n";
    assert_eq!(code(text, (3, 11)).given, ["one", "six", "two"]);
}

#[test]
fn what_changes_the_path_is_seen() {
    let path = |text: &str| SearchPlace::Path(text.to_owned());
    for (text, wanted) in [
        (
            "sys.path.insert(0, 'jobs.zip')\nsys.path.append('./jobs')\n",
            vec![path("./jobs"), path("jobs.zip")],
        ),
        (
            "sys.path.insert(0, os.path.dirname(__file__))\n",
            vec![SearchPlace::NearFile],
        ),
        (
            "here = Path(__file__).parent\nsys.path.append(str(here))\n",
            vec![SearchPlace::NearFile],
        ),
        ("sys.path.append(folder)\n", vec![SearchPlace::Anywhere]),
        (
            "sys.path = [folder] + sys.path\n",
            vec![SearchPlace::Anywhere],
        ),
        ("sys.path += ['x']\n", vec![SearchPlace::Anywhere]),
        (
            "spark.sparkContext.addPyFile('s3://a/b.zip')\n",
            vec![SearchPlace::Anywhere],
        ),
        ("print(sys.path)\nx.append('y')\n", vec![]),
    ] {
        assert_eq!(code(text, (3, 11)).search, wanted, "{text:?}");
    }
}

#[test]
fn places_are_in_characters() {
    let text = "x = 'é'; import aé.b\ndef f():\n    from .\\\n        m import é, n\nfrom  . import q\nimport_module('dyn')\n";
    let places: Vec<_> = code(text, (3, 11))
        .imports
        .iter()
        .map(|import| {
            (
                import.at.0,
                import.at.1,
                import
                    .names
                    .iter()
                    .map(|(at, _)| (at.0, at.1))
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (1, 17, vec![]),
            (4, 9, vec![(4, 18), (4, 21)]),
            (5, 7, vec![(5, 16)]),
            (6, 15, vec![])
        ]
    );
}

/// Whatever stands in a file, reading it comes to an end and needs no more stack than it is given.
#[test]
fn hostile_files_are_read_on_the_stack_that_is_promised() {
    let repeated = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    let all = 1 << 20;
    let mut texts = Vec::new();
    for part in [
        "(",
        "[",
        "{",
        "-",
        "~",
        "not ",
        "a+",
        "a.",
        "a(",
        "lambda:",
        "await ",
        "f'{",
        "a if b else ",
        "a**",
        "if x:\n",
        "a[",
        "*",
        "def f(",
        "@",
        "x=",
        "yield ",
        "a,",
        "\\\n",
        "'",
        "\"\"\"",
        "match x:\n case [",
        "case ",
        "a:",
        "del ",
        "import ",
        "\t",
        "class A(",
        "try:\n",
        "or ",
        "a or ",
        "not a in ",
    ] {
        texts.push(repeated(part, 40_000));
        texts.push(format!("x = {}1\n", repeated(part, 60_000)));
        if part.contains(' ') {
            texts.push(repeated(part, all));
        }
    }
    let nested = (0..400).map(|depth| " ".repeat(depth) + "if x:\n");
    let nested: String = nested.collect();
    texts.push(format!("{nested}{}import a\n", " ".repeat(400)));
    let run = move || {
        for text in &texts {
            drop(code(text, (3, 11)));
            drop(code(&format!("import_module('x')\n{text}"), (3, 11)));
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.unwrap().join().unwrap();
}

#[test]
fn what_was_read_can_be_kept() {
    let text = "from .a import b\ntry:\n  import c\nexcept ImportError:\n  import d\nsys.path.append(x)\nimport_module('e')\n";
    for read in [
        code(text, (3, 11)),
        code("print 'x'\n", (3, 11)),
        PythonCode::default(),
    ] {
        let kept = serde_json::to_string(&read).unwrap();
        assert_eq!(
            serde_json::from_str::<PythonCode>(&kept).unwrap(),
            read,
            "{kept}"
        );
    }
}
