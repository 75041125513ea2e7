//! Which build arguments a tag depends on: those that may change the image.

use super::*;

/// The record of `base` for its Dockerfile and its build arguments, in the form of TOML.
fn record(dockerfile: &str, arguments: &str) -> Vec<u8> {
    let project = Project::small();
    let table = "dockerfile = \"base.Dockerfile\"\n";
    let with_arguments = format!("{table}build-args = {{ {arguments} }}\n");
    project.edit("sparkpack.toml", table, &with_arguments);
    project.write("base.Dockerfile", dockerfile);
    project.planned(|_, prepared| prepared.plan.stages["base"].first().record.bytes())
}

/// An argument and its values.
type Values<'a> = (&'a str, &'a [&'a str]);

#[test]
fn an_argument_that_chooses_a_stage_of_the_file_counts() {
    let cases: [(&str, Values<'_>); 10] = [
        (
            "ARG V=a\nARG ROOT\nFROM ${ROOT} AS stage-a\nRUN a\nFROM ${ROOT} AS stage-b\nRUN b\nFROM stage-${V}\n",
            ("V", &["a", "b"]),
        ),
        (
            "ARG V\nARG ROOT\nFROM $ROOT AS one\nFROM one AS two\nRUN x\nFROM $V\n",
            ("V", &["one", "TWO", "scratch", "registry.example/root:1"]),
        ),
        (
            "ARG V\nFROM scratch AS one\nFROM one AS two\nRUN x\nFROM \"${V}\" AS three\nFROM three\n",
            ("V", &["one", "two", "scratch"]),
        ),
        (
            "ARG V\nARG W=${V}\nFROM scratch AS one\nFROM one AS two\nRUN x\nFROM ${W}\n",
            ("V", &["one", "two"]),
        ),
        (
            "ARG V\nFROM scratch AS one\nFROM one AS two\nRUN x\nFROM ${V:-one}\n",
            ("V", &["", "two"]),
        ),
        (
            "ARG V\nFROM scratch AS one\nFROM one AS twoone\nRUN x\nFROM ${V:+two}one\n",
            ("V", &["", "x"]),
        ),
        // Its name is one that a chain uses for an image.
        (
            "ARG ROOT\nFROM scratch AS one\nFROM one AS two\nRUN x\nFROM ${ROOT}\n",
            ("ROOT", &["one", "two"]),
        ),
        // No `ARG` has to declare it.
        (
            "FROM scratch AS amd64\nFROM amd64 AS arm64\nRUN x\nFROM $TARGETARCH\n",
            ("TARGETARCH", &["amd64", "arm64"]),
        ),
        // The stage is copied from.
        (
            "ARG V\nFROM scratch AS one\nFROM one AS two\nRUN x\nFROM ${V} AS three\nFROM scratch\nCOPY --from=three / /\n",
            ("V", &["one", "two"]),
        ),
        // Every `RUN` has a proxy in its environment.
        (
            "ARG http_proxy\nFROM scratch\nRUN x\n",
            ("http_proxy", &["http://one", "http://two"]),
        ),
    ];
    for (dockerfile, (name, values)) in cases {
        let of_value = |value: &&str| record(dockerfile, &format!("{name} = \"{value}\""));
        let records: Vec<Vec<u8>> = values.iter().map(of_value).collect();
        for (index, one) in records.iter().enumerate() {
            assert!(!records[index + 1..].contains(one), "{dockerfile}");
        }
    }
}

#[test]
fn an_argument_that_only_leads_to_an_image_counts_by_the_image() {
    for dockerfile in [
        "ARG V=registry.example/root:1\nFROM ${V}\nRUN x\n",
        "ARG V=registry.example/root:1\nFROM ${V} AS one\nFROM one\nRUN x\n",
        "ARG V=registry.example/root:1\nFROM scratch AS one\nFROM one\nFROM ${V}\n",
        "ARG V=one\nFROM scratch AS one\nFROM ${V} AS unused\nFROM one\n",
        "ARG ROOT\nFROM ${ROOT}\nRUN x\n",
    ] {
        let one = record(dockerfile, "V = \"registry.example/root:1\"");
        assert_eq!(one, record(dockerfile, ""), "{dockerfile}");
    }
}

/// A trigger of the image below declares what the Dockerfile uses only in a `FROM`.
#[test]
fn an_argument_that_a_trigger_may_read_counts() {
    let records = ["scratch", "SCRATCH"].map(|value| {
        let project = Project::small();
        let table = "dockerfile = \"job.Dockerfile\"\n";
        let with_arguments = format!("{table}build-args = {{ V = \"{value}\" }}\n");
        project.edit("sparkpack.toml", table, &with_arguments);
        let triggers = "FROM scratch\nONBUILD ARG V\nONBUILD RUN echo $V\n";
        project.write("base.Dockerfile", triggers);
        let dockerfile = "ARG V\nFROM base AS one\nFROM ${V:+base}\nCOPY --from=one / /\n";
        project.write("job.Dockerfile", dockerfile);
        project.planned(|_, prepared| prepared.plan.stages["job"].first().record.bytes())
    });
    assert_ne!(records[0], records[1]);
}

/// `ROOT` and the like are the chain's only where the configuration does not set them.
#[test]
fn an_argument_with_the_name_of_a_chains_image_is_one_like_any_other() {
    for name in ["ROOT", "SPARK", "OPERATOR", "PARENT"] {
        let in_stage = format!("FROM scratch\nARG {name}=default\nRUN echo ${name}\n");
        let inherited = format!("ARG {name}=default\nFROM scratch\nARG {name}\nRUN x\n");
        let by_another =
            format!("ARG {name}=default\nARG V=${{{name}}}\nFROM scratch\nARG V\nRUN x\n");
        for dockerfile in [in_stage, inherited, by_another] {
            let of_value = |value: &str| record(&dockerfile, &format!("{name} = \"{value}\""));
            assert_ne!(of_value("1"), of_value("2"), "{dockerfile}");
            assert_ne!(of_value("1"), record(&dockerfile, ""), "{dockerfile}");
        }
        let image = format!("ARG {name}\nFROM ${name}\nRUN x\n");
        let root = format!("{name} = \"registry.example/root:1\"");
        let record = String::from_utf8(record(&image, &root)).unwrap();
        assert!(!record.contains("build-argument"), "{record}");
    }
}

#[test]
fn the_builder_is_given_what_the_configuration_sets() {
    let project = Project::small();
    let table = "dockerfile = \"base.Dockerfile\"\n";
    let with_arguments = format!("{table}build-args = {{ SPARK = \"3.5.1\" }}\n");
    project.edit("sparkpack.toml", table, &with_arguments);
    let dockerfile = "ARG ROOT\nFROM ${ROOT}\nARG SPARK=default\nARG ROOT=own\n\
                      COPY ${SPARK}/a ${ROOT}/a /\n";
    project.write("base.Dockerfile", dockerfile);
    for folder in ["3.5.1", "own"] {
        project.write(&format!("{folder}/a"), "a");
    }
    project.planned(|_, prepared| {
        let Recipe::Dockerfile(inputs) = &prepared.plan.stages["base"].inputs.recipe else {
            panic!("it has a Dockerfile");
        };
        let given: Vec<_> = inputs.build_arguments.iter().collect();
        assert_eq!(given, [(&"SPARK".to_owned(), &"3.5.1".to_owned())]);
        let files: Vec<&str> = inputs.context.iter().map(|file| &*file.path).collect();
        assert_eq!(files, ["3.5.1/a", "own/a"]);
    });
}
