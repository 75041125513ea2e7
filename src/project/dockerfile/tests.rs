use std::collections::BTreeMap;

use super::*;

fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap()
}

fn defects(text: &str) -> Vec<String> {
    let shown = |defect: &Defect| format!("{} {defect}", defect.code);
    match Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()) {
        Err(defects) => defects.iter().map(shown).collect(),
        Ok(dockerfile) => match dockerfile.resolve(&BTreeMap::new(), None) {
            Err(defects) => defects.iter().map(shown).collect(),
            Ok(_) => Vec::new(),
        },
    }
}

fn resolve(text: &str, target: Option<&str>) -> Resolution {
    parse(text).resolve(&BTreeMap::new(), target).unwrap()
}

fn used(resolution: &Resolution) -> Vec<String> {
    let shown = |image: &ImageUse| match &image.used {
        Used::Stage(stage) => format!("{:?} stage {stage}", image.role),
        Used::Image(text) => format!("{:?} {text}", image.role),
        Used::Scratch => format!("{:?} scratch", image.role),
    };
    resolution.uses().map(shown).collect()
}

#[test]
fn instructions_keep_their_lines_and_bytes() {
    let text = "# escape=`\n\n# comment\nFROM debian\nRUN a `\n  # inside\n\n  && b \t\nENV x=1";
    let dockerfile = parse(text);
    let listed: Vec<(&str, &str, usize, &str)> = dockerfile
        .instructions()
        .iter()
        .map(|found| {
            (
                &*found.keyword,
                &*found.arguments,
                found.line,
                &text[found.span.clone()],
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("FROM", "debian", 4, "FROM debian"),
            ("RUN", "a   && b", 5, "RUN a `\n  # inside\n\n  && b \t"),
            ("ENV", "x=1", 9, "ENV x=1"),
        ]
    );
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_accepted() {
    let text =
        "\u{feff}# syntax=docker/dockerfile:1\r\nFROM a AS x\r\nRUN one \\\r\n  two\r\nFROM x\r\n";
    let dockerfile = parse(text);
    let (image, span) = dockerfile.syntax().unwrap();
    assert_eq!(
        (image, &text[span]),
        ("docker/dockerfile:1", "docker/dockerfile:1")
    );
    assert_eq!(dockerfile.instructions()[1].arguments, "one   two");
    let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
    assert_eq!(used(&resolution), ["From a", "From stage 0"]);
    assert_eq!(&text[resolution.stages()[0].base.span.clone()], "a");
}

#[test]
fn only_the_top_holds_directives_and_a_doubled_escape_does_not_continue() {
    let dockerfile = parse("FROM a\n# escape=`\nRUN x \\\n  y\nRUN c:\\\\\nRUN z\n");
    let arguments: Vec<&str> = dockerfile
        .instructions()
        .iter()
        .map(|found| &*found.arguments)
        .collect();
    assert_eq!(arguments, ["a", "x   y", "c:\\\\", "z"]);
    assert_eq!(
        defects("# escape=x\nFROM a\n"),
        ["E057 Dockerfile:1:1: `# escape=x`: only a backslash or a backtick can be the escape"]
    );
}

#[test]
fn heredocs_hide_their_lines() {
    let text = "FROM a\nRUN <<EOF cat <<-'TWO'\nCOPPY x\nEOF\n\tFROM y\n\tTWO\nCOPY <<\"F\" /f\n$x\nF\nRUN echo $((1<<2)) '<<EOF'\nUSER u";
    let dockerfile = parse(text);
    let keywords: Vec<(&str, usize)> = dockerfile
        .instructions()
        .iter()
        .map(|found| (&*found.keyword, found.line))
        .collect();
    assert_eq!(
        keywords,
        [
            ("FROM", 1),
            ("RUN", 2),
            ("COPY", 7),
            ("RUN", 10),
            ("USER", 11)
        ]
    );
    let features: Vec<(&str, usize)> = dockerfile
        .features()
        .iter()
        .map(|feature| (&*feature.name, feature.line))
        .collect();
    assert_eq!(features, [("heredoc", 2), ("heredoc", 7)]);
    assert!(!resolve(text, None).may_copy("F"));
    assert_eq!(
        defects("FROM a\nRUN <<EOF\nx\n"),
        ["E057 Dockerfile:2:1: the heredoc `<<EOF` is not ended by a line `EOF`"]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, wanted) in [
        (
            "FROM a\nCOPPY x y\n",
            "E051 Dockerfile:2:1: unknown instruction `COPPY`",
        ),
        ("", "E052 Dockerfile:1:1: there is no `FROM`"),
        (
            "# only\n\n# comments\n",
            "E052 Dockerfile:1:1: there is no `FROM`",
        ),
        ("ARG X\n", "E052 Dockerfile:1:1: there is no `FROM`"),
        (
            "RUN x\nFROM a\n",
            "E052 Dockerfile:1:1: `RUN` stands before the first `FROM`",
        ),
        (
            "FROM a AS x\nFROM b AS X\n",
            "E053 Dockerfile:2:11: the stage name `x` is taken by line 1",
        ),
        (
            "FROM a AS 1x\n",
            "E057 Dockerfile:1:11: `1x` is no name of a stage: a letter, then letters, digits, `-`, `_`, `.`",
        ),
    ] {
        assert_eq!(defects(text), [wanted], "{text}");
    }
    let error = Dockerfile::parse(Path::new("Dockerfile"), b"FROM a\nCOPPY x y\n").unwrap_err();
    assert_eq!(error[0].hint.as_deref(), Some("did you mean `COPY`?"));
    assert_eq!(defects("FROM a\nCOPPY x y\nRNU z\n").len(), 2);
}

/// Builders take it, and the line that somebody lost is missing in the image.
#[test]
fn a_file_that_ends_in_a_continuation_is_refused() {
    for (text, place) in [
        ("FROM a\nRUN x \\", "2:7"),
        ("FROM a\nRUN x \\\n", "2:7"),
        ("FROM a\r\nRUN x \\ \t\r\n", "2:7"),
        ("FROM a\nRUN x \\\n  y \\\n# comment\n\n", "3:5"),
        ("FROM a\n\\\n", "2:1"),
        ("FROM a \\\n", "1:8"),
    ] {
        let wanted =
            format!("E057 Dockerfile:{place}: `\\` joins the next line, and there is none");
        assert_eq!(defects(text), [wanted], "{text:?}");
    }
    for text in [
        "FROM a\nRUN c:\\\\\n",
        "# escape=`\nFROM a\nRUN x \\\n",
        "FROM a\nRUN <<E\nx \\\nE\n",
        "FROM a\n# x \\\n",
    ] {
        assert_eq!(defects(text), [""; 0], "{text:?}");
    }
    assert_eq!(defects("# escape=`\nFROM a\nRUN x `\n").len(), 1);
    // A continuation alone is nothing, if something follows.
    assert_eq!(
        parse("FROM a\n\\\n RUN x\n").instructions()[1].keyword,
        "RUN"
    );
}

#[test]
fn a_line_that_no_builder_reads_is_refused() {
    let line = |length: usize| format!("RUN {}", "x".repeat(length - 4));
    let longest = line(65_535);
    assert_eq!(defects(&format!("FROM a\n{longest}\n")), [""; 0]);
    for text in [
        format!("FROM a\n{}\n", line(65_536)),
        format!("FROM a\n# {}\n", line(65_536)),
        format!("FROM a\nRUN <<E\n{}\nE\n", line(65_536)),
        format!("FROM a\nCOPY {} /\n", "x ".repeat(5_000_000)),
        format!("FROM a\n{}\n", "x".repeat(10_000_000)),
        format!("FROM a\nFROM {}\n", "x ".repeat(5_000_000)),
        format!("FROM a\nFROM b AS {}\n", "X".repeat(10_000_000)),
        format!("FROM a\nRUN <<{}\n", "E".repeat(10_000_000)),
    ] {
        let told = defects(&text);
        let first = "and builders read no line of more than 65535";
        assert!(told[0].contains(first), "{}", told[0]);
        assert!(
            told.iter().all(|one| one.len() < 400),
            "{} {}",
            told.len(),
            told[0].len()
        );
    }
}

#[test]
fn what_no_child_may_do_is_refused_as_a_trigger() {
    for (trigger, wanted) in [
        (
            "COPPY x y",
            "E051 Dockerfile:2:1: unknown instruction `COPPY`",
        ),
        (
            "ONBUILD RUN x",
            "E057 Dockerfile:2:1: `ONBUILD ONBUILD`: no builder lets a child image do that",
        ),
        (
            "from x",
            "E057 Dockerfile:2:1: `ONBUILD FROM`: no builder lets a child image do that",
        ),
        (
            "MAINTAINER x",
            "E057 Dockerfile:2:1: `ONBUILD MAINTAINER`: no builder lets a child image do that",
        ),
        ("RUN", "E057 Dockerfile:2:1: `ONBUILD RUN` needs arguments"),
    ] {
        assert_eq!(defects(&format!("FROM a\nONBUILD {trigger}\n")), [wanted]);
    }
}

#[test]
fn directives_stand_where_builders_look_for_them() {
    let syntax = |text: &str| {
        let (image, span) = parse(text)
            .syntax()
            .map(|(image, span)| (image.to_owned(), span))?;
        assert_eq!(text[span], image, "{text}");
        Some(image)
    };
    for text in [
        "# syntax=x/y:1\nFROM a\n",
        "#syntax = x/y:1 \nFROM a\n",
        "  # syntax=x/y:1\nFROM a\n",
        "\u{feff}# SYNTAX=x/y:1\r\nFROM a\r\n",
        "# check=error=true\n# syntax=x/y:1\nFROM a\n",
        "#!/usr/bin/env build\n# syntax=x/y:1\nFROM a\n",
    ] {
        assert_eq!(syntax(text).as_deref(), Some("x/y:1"), "{text}");
    }
    for text in [
        "\n# syntax=x\nFROM a\n",
        "# said\n# syntax=x\nFROM a\n",
        "FROM a\n# syntax=x\n",
    ] {
        assert_eq!(syntax(text), None, "{text}");
    }
    for top in ["#!/bin/x\n", "\n"] {
        let text = format!("{top}# escape=`\nFROM a\nRUN x \\\n y\n");
        assert_eq!(parse(&text).instructions()[1].arguments, "x  y", "{text}");
    }
}

#[test]
fn a_secret_that_is_written_down_is_told_and_its_value_is_not() {
    for body in [
        "ENV TOKEN=c4nary",
        "ENV TOKEN c4nary",
        "ENV A=b \\\n  DB_PASSWORD=\"c4nary\"",
        "ARG PASSWORD=c4nary",
        "ARG pip_token='c4nary'",
        "ENV AWS_SECRET_ACCESS_KEY=c4nary",
        "ENV API_KEY=c4nary",
        "ONBUILD ENV GITHUB_TOKEN=c4nary",
        "ENV PGPASSWORD=c4nary",
        "ENV AccessToken=c4nary",
        "ENV PIP_INDEX_URL=https://ada:c4nary@a.example/simple",
        "ARG URL='http://:c4nary@a.example:8080'",
        "RUN pip install --index-url=\"https://ada:c4nary@a.example/simple\" x",
        "RUN [\"curl\", \"https://ada:c4nary@a.example\"]",
        "ADD https://ada:c4nary@a.example/x /x",
        "LABEL source=https://ada:c4n@ry@a.example/x",
    ] {
        let told = defects(&format!("FROM a\n{body}\n"));
        assert_eq!(told.len(), 1, "{body}: {told:?}");
        assert!(told[0].starts_with("E112 Dockerfile:2:1: "), "{told:?}");
        assert!(!told[0].contains("c4n"), "{told:?}");
    }
    for body in [
        "ARG TOKEN",
        "ARG PASSWORD=",
        "ENV TOKEN=\"\"",
        "ENV TOKEN=$OTHER",
        "ENV TOKEN=/run/secrets/token",
        "ENV TOKENIZERS=c4nary SORT_KEY=c4nary TOKEN_URL=c4nary",
        "ENV USE_TOKEN=true MAX_TOKEN=4096",
        "RUN TOKEN=c4nary make",
        "LABEL token=c4nary",
        "RUN curl https://ada:$OTHER@a.example https://ada:***@a.example",
        "RUN curl https://ada@a.example https://a.example:80/x@y:z",
        "RUN sed 's#https://{user}:{password}@#x#'",
    ] {
        let told = defects(&format!("ARG OTHER\nFROM a\n{body}\n"));
        assert!(told.is_empty(), "{body}: {told:?}");
    }
}

#[test]
fn images_and_sources_that_cannot_be_known_are_told_with_their_place() {
    let long_name = format!("FROM a\n{} x\n", "Q".repeat(100));
    for (text, wanted) in [
        (
            "FROM a b\n",
            "E057 Dockerfile:1:1: `FROM a b` is not `FROM IMAGE` or `FROM IMAGE AS NAME`",
        ),
        ("FROM\n", "E057 Dockerfile:1:1: `FROM` needs arguments"),
        (
            "FROM a\nCOPY --from=late x y\nFROM b AS late\n",
            "E054 Dockerfile:2:13: the stage `late` comes later in the file",
        ),
        (
            "FROM a\nCOPY --from=0 x y\n",
            "E054 Dockerfile:2:13: there is no stage 0 before this one, the first is 0",
        ),
        (
            "FROM a AS b\nCOPY --from=b x y\n",
            "E054 Dockerfile:2:13: the stage `b` copies from itself",
        ),
        (
            "FROM a\nARG S\nCOPY --from=$S x y\n",
            "E054 Dockerfile:3:13: `--from=$S`: Docker expands no variable here",
        ),
        (
            "FROM a:${V}\n",
            "E055 Dockerfile:1:6: `a:${V}` uses `V`, which no `ARG` before the first `FROM` declares",
        ),
        (
            "ARG V\nFROM a:$V\n",
            "E055 Dockerfile:2:6: `a:$V` uses `V`, which has no value",
        ),
        (
            "FROM a:${V/x/y}\n",
            "E055 Dockerfile:1:6: `${V/x/y}` in `a:${V/x/y}` cannot be expanded",
        ),
        (
            "FROM a\nCOPY ../x /x\n",
            "E057 Dockerfile:2:1: `../x` lies outside the build context",
        ),
        (
            &long_name,
            &format!(
                "E051 Dockerfile:2:1: unknown instruction `{}…`",
                "Q".repeat(80)
            ),
        ),
    ] {
        assert_eq!(defects(text), [wanted], "{text}");
    }
}

#[test]
fn a_name_in_the_image_that_would_delete_a_file_is_refused() {
    for (line, name) in [
        ("COPY a /opt/.wh.b", ".wh.b"),
        ("COPY --from=b a /opt/.wh.b/", ".wh.b"),
        ("ADD [\"a\", \"c\", \"/.wh..wh..opq/d\"]", ".wh..wh..opq"),
        ("COPY a /opt/.wh.$X", ".wh.y"),
        ("COPY a /opt/$Z", ".wh.z"),
        ("ONBUILD COPY a .wh.b", ".wh.b"),
        ("COPY <<E /opt/.wh.b\ntext\nE", ".wh.b"),
        ("WORKDIR /opt/.wh.b", ".wh.b"),
    ] {
        let text = format!("FROM a\nARG X=y\nENV Z=.wh.z\n{line}\n");
        let found = defects(&text);
        let [defect] = &found[..] else {
            panic!("{line}: {found:?}");
        };
        assert!(defect.starts_with("E068 Dockerfile:4:1: "), "{defect}");
        assert!(defect.contains(&format!("so `{name}` would")), "{defect}");
    }
    let text = "FROM a\nCOPY a /opt/a.wh.b\nRUN touch /opt/.wh.b\nWORKDIR /opt/.whx\n";
    assert_eq!(defects(text), [""; 0]);
}

#[test]
fn a_copy_without_a_destination_is_refused() {
    for (line, keyword) in [
        ("COPY a", "COPY"),
        ("ADD --chown=1 https://a.example/x", "ADD"),
        ("COPY --from=b /a", "COPY"),
        ("COPY [\"a\"]", "COPY"),
        ("COPY --link", "COPY"),
        ("COPY <<E\nE", "COPY"),
        ("ONBUILD COPY a", "COPY"),
    ] {
        let wanted = format!("E057 Dockerfile:2:1: `{keyword}` needs a source and a destination");
        assert_eq!(defects(&format!("FROM a\n{line}\n")), [wanted], "{line}");
    }
    assert_eq!(
        defects("FROM a\nCOPY <<E /x\nE\nCOPY [\"a\", \"b\"]\n"),
        [""; 0]
    );
}

#[test]
fn an_image_of_a_mount_is_found_in_quotes_or_refused() {
    for (value, found) in [
        ("type=bind,from=alpine,target=/x", true),
        ("\"from=alpine\",target=/x", true),
        ("target=/x,'From=alpine'", true),
        ("type=Cache,from=\"alpine\"", false),
        ("fr\"om\"=alpine,target=/x", false),
        ("from=al\"pi\"ne", false),
    ] {
        let text = format!("FROM a\nRUN --mount={value} x\n");
        let resolution = parse(&text).resolve(&BTreeMap::new(), None);
        match resolution {
            Ok(resolution) => {
                let used = resolution.uses().nth(1).unwrap();
                assert_eq!(&text[used.span.clone()], "alpine", "{value}");
                assert!(found, "{value}");
            }
            Err(defects) => {
                let wanted = "Dockerfile:2:1: `from=alpine` stands within quotes";
                assert_eq!(defects[0].to_string(), wanted, "{value}");
                assert!(!found, "{value}");
            }
        }
    }
}

#[test]
fn other_bytes_than_utf8_are_refused_outside_comments_only() {
    let name = Path::new("Dockerfile");
    assert!(Dockerfile::parse(name, b"# caf\xe9\nFROM a\nRUN x \\\n# \xff\n y\n").is_err());
    assert!(Dockerfile::parse(name, b"# caf\xe9\nFROM a\n").is_ok());
    let error = Dockerfile::parse(name, b"FROM a\nRUN caf\xe9\n").unwrap_err();
    assert_eq!(
        error[0].to_string(),
        "Dockerfile:2:8: the byte 0xe9 is not UTF-8"
    );
    let error = Dockerfile::parse(name, b"\xff\xfeF\0R\0").unwrap_err();
    assert_eq!(error[0].code, "E050");
}

#[test]
fn arguments_expand_in_from() {
    let text = "ARG VERSION=\"3.11\"\nARG TAG=${VERSION}-slim\nARG EMPTY\nFROM python:$TAG\nFROM ${EMPTY:-debian}:${EMPTY:+x}12\n";
    let dockerfile = parse(text);
    let resolution = dockerfile.resolve(&BTreeMap::new(), Some("0")).unwrap();
    assert_eq!(used(&resolution), ["From python:3.11-slim"]);
    let given = BTreeMap::from([
        ("VERSION".to_owned(), "3.12".to_owned()),
        ("UNKNOWN".to_owned(), "x".to_owned()),
    ]);
    let resolution = dockerfile.resolve(&given, Some("0")).unwrap();
    assert_eq!(used(&resolution), ["From python:3.12-slim"]);
    assert_eq!(
        used(&dockerfile.resolve(&given, None).unwrap()),
        ["From debian:12"]
    );
}

#[test]
fn platforms_are_expanded_where_they_are_known() {
    let dockerfile =
        parse("FROM --platform=$BUILDPLATFORM golang AS build\nFROM a-${TARGETARCH}\n");
    let defects = dockerfile.resolve(&BTreeMap::new(), None).unwrap_err();
    assert_eq!(defects[0].code, "E055");
    let given = BTreeMap::from([("TARGETARCH".to_owned(), "arm64".to_owned())]);
    let resolution = dockerfile.resolve(&given, None).unwrap();
    assert_eq!(used(&resolution), ["From a-arm64"]);
    assert_eq!(
        resolution.stages()[0].platform.as_deref(),
        Some("$BUILDPLATFORM")
    );
    assert_eq!(resolution.stages()[0].name.as_deref(), Some("build"));
}

#[test]
fn an_argument_that_only_names_images_is_told_from_others() {
    for (text, wanted) in [
        ("ARG A\nFROM ${A}\n", true),
        ("ARG A\nFROM x:${A} AS y\nFROM y\n", true),
        ("ARG A\nFROM ${A}\nARG A\n", false),
        ("ARG A\nARG B=${A}\nFROM ${B}\nARG B\n", false),
        ("ARG A\nFROM --platform=$A x\n", false),
        ("FROM x\nARG A\n", false),
    ] {
        let dockerfile = Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()).unwrap();
        assert_eq!(dockerfile.only_names_images("A"), wanted, "{text}");
    }
}

#[test]
fn a_stage_that_variables_choose_is_named_for_the_builder() {
    let dockerfile = parse(
        "ARG V=b\nFROM x AS a\nFROM y AS B\nFROM ${V} AS c\nFROM ${V} AS unused\nFROM \"c\"\n",
    );
    let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
    let sent = String::from_utf8(dockerfile.substitute(&resolution.chosen())).unwrap();
    let wanted =
        "ARG V=b\nFROM x AS a\nFROM y AS B\nFROM b AS c\nFROM ${V} AS unused\nFROM \"c\"\n";
    assert_eq!(sent, wanted);
}

#[test]
fn every_argument_is_listed() {
    let dockerfile = parse("ARG A=1 B\nFROM x\nARG C='a b'\nFROM y\nARG A\n");
    let listed: Vec<(String, Option<String>, usize, Option<usize>)> = dockerfile
        .arguments()
        .into_iter()
        .map(|found| (found.name, found.default, found.line, found.stage))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        listed,
        [
            ("A".to_owned(), text("1"), 1, None),
            ("B".to_owned(), None, 1, None),
            ("C".to_owned(), text("a b"), 3, Some(0)),
            ("A".to_owned(), None, 5, Some(1)),
        ]
    );
}

const SEVERAL: &str = "FROM golang AS Build
COPY go.mod .
RUN go build
FROM debian AS unused
COPY unused /
RUN x
FROM build AS extra
ADD extra /
FROM scratch
COPY --from=extra /a /a
COPY --from=0 /b /b
COPY --from=busybox:1 /c /c
COPY --chown=1:1 conf/*.xml /d/
";

#[test]
fn a_target_reaches_what_it_needs() {
    let all = resolve(SEVERAL, None);
    assert_eq!(all.reached().iter().copied().collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(
        used(&all),
        [
            "From golang",
            "From stage 0",
            "From scratch",
            "Copy stage 2",
            "Copy stage 0",
            "Copy busybox:1"
        ]
    );
    for (path, wanted) in [
        ("go.mod", true),
        ("unused", false),
        ("extra/x", true),
        ("conf/a.xml", true),
        ("conf/a.py", false),
        ("a", false),
    ] {
        assert_eq!(all.may_copy(path), wanted, "{path}");
    }
    assert!(all.network().is_some());
    assert_eq!(all.network(), Some(3));
    let one = resolve(SEVERAL, Some("UNUSED"));
    assert_eq!(one.target(), 1);
    assert!(one.may_copy("unused/x") && !one.may_copy("go.mod"));
    let unknown = parse(SEVERAL)
        .resolve(&BTreeMap::new(), Some("biuld"))
        .unwrap_err();
    assert_eq!(
        (unknown[0].code.as_str(), unknown[0].hint.as_deref()),
        ("E056", Some("did you mean `build`?"))
    );
}

#[test]
fn unreached_stages_are_emptied_in_place() {
    let emptied = parse(SEVERAL).substitute(&resolve(SEVERAL, None).without_unreached());
    let emptied = String::from_utf8(emptied).unwrap();
    assert_eq!(
        emptied,
        SEVERAL.replace(
            "FROM debian AS unused\nCOPY unused /\nRUN x\n",
            "FROM scratch AS unused\n\n\n"
        )
    );
}

#[test]
fn sources_are_found_in_every_form() {
    for (body, path, wanted) in [
        ("COPY [\"a b\", \"/x\"]", "a b", true),
        ("COPY [\"a b\", \"/x\"]", "a", false),
        ("COPY a b c /x/", "b/1", true),
        ("COPY a b c /x/", "x", false),
        ("COPY --link --chmod=755 a /x", "a", true),
        ("COPY \\\n  a \\\n  # no\n  b /x/", "b", true),
        ("ADD https://example.com/a.tgz a /x/", "a", true),
        ("ADD https://example.com/a.tgz /x/", "example.com", false),
        ("ENV D=dir\nCOPY $D/a /x", "dir/a", true),
        ("ENV D=dir\nCOPY $D/a /x", "other", false),
        ("ENV D dir\nCOPY ${D} /x", "dir/a", true),
        ("ARG D=dir\nCOPY $D /x", "dir/a", true),
        ("ARG D=dir\nCOPY $D /x", "other", false),
        ("ARG D\nCOPY $D /x", "other", true),
        ("COPY $FROM_THE_BASE /x", "other", true),
        ("ENV D=$PATH\nCOPY $D /x", "other", true),
        ("COPY --exclude=*.md docs /x", "docs/a.md", true),
        ("COPY --parents a/**/b /x", "other", true),
        (
            "RUN --mount=type=bind,source=req.txt,target=/r pip",
            "req.txt",
            true,
        ),
        (
            "RUN --mount=type=bind,source=req.txt,target=/r pip",
            "other",
            false,
        ),
        ("RUN --mount=target=/src make", "anything", true),
        ("RUN --mount=type=cache,target=/c make", "anything", false),
        (
            "RUN --mount=type=bind,from=other,source=x,target=/r pip",
            "x",
            false,
        ),
        ("RUN --mount=type=secret,id=x make", "x", false),
        ("RUN --mount=TYPE=Secret,source=x make", "x", false),
        ("RUN --mount=type=Bind,source=a,target=/a make", "a", true),
        ("RUN --mount=Source=a,type=\"BIND\" make", "a", true),
        ("RUN --mount=type=$T,source=a make", "a", true),
        ("ARG T=cache\nRUN --mount=type=$T,source=a make", "a", false),
        ("ONBUILD COPY later /x", "later", true),
        ("COPY <<EOF b /x/\n a\nEOF", "b", true),
        ("COPY . .", "anything/at/all", true),
        ("RUN COPY a /x", "a", false),
    ] {
        assert_may_copy(body, path, wanted);
    }
}

/// Whether a stage on `base` with these instructions may copy a path.
fn assert_may_copy(body: &str, path: &str, wanted: bool) {
    let text = format!("FROM base\n{body}\n");
    let may_copy = resolve(&text, None).may_copy(path);
    assert_eq!(may_copy, wanted, "{body} / {path}");
}

#[test]
fn sources_are_found_by_variables() {
    for (body, path, wanted) in [
        ("ENV D=dir E=$D/a\nCOPY dir$E /x", "other", true),
        ("ARG D=$PATH/dir\nCOPY x$D /x", "other", true),
        ("ARG D=dir\nENV D=$D\nCOPY $D /x", "other", false),
        ("ENV D=dir\nARG D=dir\nCOPY $D /x", "other", false),
        ("ENV D=dir\nARG D\nCOPY $D /x", "other", false),
        ("ENV D=dir\nARG D=b\nCOPY $D /x", "other", true),
        ("ARG D=a\nENV D=dir\nCOPY $D /x", "other", false),
        ("ARG D=\"a b\"\nCOPY $D /x", "other", true),
        ("ENV D=\"a b\"\nCOPY $D /x", "other", false),
        ("ENV D=dir\nONBUILD ENV D=x\nCOPY $D /x", "other", true),
        ("ENV D=dir\nONBUILD ARG D=x\nCOPY $D /x", "other", true),
        ("ENV D=dir\nONBUILD COPY $D /x", "other", true),
        (
            "ENV D=dir\nONBUILD RUN --mount=source=$D,target=/r x",
            "other",
            true,
        ),
        ("ARG D=dir\nADD $D https://a.example/x /x/", "other", false),
        (
            "ARG D=dir\nRUN --mount=source=$D,target=/r x",
            "other",
            false,
        ),
    ] {
        assert_may_copy(body, path, wanted);
    }
}

/// A base image may define any variable, and the builder some.
#[test]
fn what_a_base_or_a_builder_may_define_leads_anywhere() {
    let may_copy = |base: &str, body: &str| {
        let text = format!("FROM {base} AS one\n{body}\nCOPY a $V /x/\n");
        let copies = [
            "${V:-a}",
            "${V-a}",
            "a${V:+b}",
            "a${V+b}",
            "\"${V:-a}\"",
            "./${V:-a}*",
        ];
        copies.map(|source| resolve(&text.replace("$V", source), None).may_copy("other"))
    };
    for (base, body, wanted) in [
        ("base", "", true),
        ("scratch", "", false),
        ("base", "ARG V", true),
        ("scratch", "ARG V", false),
        ("base", "ENV V=a", false),
        ("base", "ARG V=a", false),
        ("base", "FROM one", true),
        ("scratch", "ARG V\nFROM one", false),
        ("scratch", "ARG V=a\nFROM one\nARG V", true),
        ("scratch", "ENV V=$W", true),
    ] {
        assert_eq!(may_copy(base, body), [wanted; 6], "{base} {body}");
    }
    for name in ["TARGETARCH", "BUILDOS", "TARGETSTAGE"] {
        let text = format!("FROM scratch\nARG {name}\nCOPY ${{{name}:-a}} /x/\n");
        assert!(resolve(&text, None).may_copy("other"), "{text}");
        let given = BTreeMap::from([(name.to_owned(), "a".to_owned())]);
        assert!(
            !parse(&text)
                .resolve(&given, None)
                .unwrap()
                .may_copy("other")
        );
        let text = format!("FROM scratch\nCOPY ${{{name}:-a}} /x/\n");
        assert!(!resolve(&text, None).may_copy("other"), "{text}");
        let text = format!("FROM x-${{{name}:-a}}\n");
        let wanted =
            format!("E055 Dockerfile:1:6: `x-${{{name}:-a}}` uses `{name}`, which has no value");
        assert_eq!(defects(&text), [wanted], "{text}");
    }
    let text = "FROM scratch\nCOPY ${PATH:+a} /x/\n";
    assert!(resolve(text, None).may_copy("other"));
}

/// One builder prefers the base's `ENV` to an `ARG`, and only one passes arguments on to the next stage.
#[test]
fn a_source_on_which_builders_may_differ_is_written_out() {
    for (text, wanted) in [
        (
            "FROM base\nARG V=a\nCOPY --chown=1 x/${V}*.c $V \\\n  b /x/\n",
            "FROM base\nARG V=a\nCOPY --chown=1 x/a*.c a \\\n  b /x/\n",
        ),
        (
            "FROM base\nARG V=a\nCOPY [\"x y\", \"$V\", \"\\u0062$V\", \"/x/\"]\n",
            "FROM base\nARG V=a\nCOPY [\"x y\", \"a\", \"\\u0062$V\", \"/x/\"]\n",
        ),
        (
            "FROM base\nARG V=a E=x\nENV W=$V\nADD ${W}b https://x.example/$E /x/\n",
            "FROM base\nARG V=a E=x\nENV W=$V\nADD ab https://x.example/x /x/\n",
        ),
        (
            "FROM scratch AS one\nARG V=a\nCOPY $V /\nFROM one\nCOPY $V /x/\n",
            "FROM scratch AS one\nARG V=a\nCOPY $V /\nFROM one\nCOPY a /x/\n",
        ),
        (
            "FROM scratch\nARG TARGETARCH=a\nCOPY $TARGETARCH /\n",
            "FROM scratch\nARG TARGETARCH=a\nCOPY a /\n",
        ),
    ] {
        let dockerfile = parse(text);
        let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
        let sent = String::from_utf8(dockerfile.substitute(&resolution.chosen())).unwrap();
        assert_eq!(sent, wanted);
    }
    for text in [
        "FROM base\nENV V=a\nCOPY $V /\n",
        "FROM base\nARG V=--from=x\nCOPY $V /\n",
        "FROM base\nARG V='a\"'\nCOPY $V /\n",
        "FROM base\nARG V=\nCOPY $V /\n",
        "FROM base\nARG V=[a]\nCOPY $V /\n",
        "FROM base\nARG V=a\nONBUILD COPY $V /\n",
        "FROM base AS one\nARG V=a\nCOPY $V /\nFROM base\nCOPY x /\n",
        "FROM base\nARG V=a\nCOPY --from=x $V /$V\n",
    ] {
        assert!(resolve(text, None).chosen().is_empty(), "{text}");
    }
}

/// Builders copy what a `COPY` finds, and fail only if a plain source or all of its wildcards are missing.
#[test]
fn a_wildcard_may_match_nothing_beside_a_source_that_matches() {
    for (body, wanted) in [
        ("COPY a b*.txt ./", &[][..]),
        ("COPY b*.txt a ./", &[]),
        ("COPY [\"b*.txt\", \"a*\", \"./\"]", &[]),
        ("COPY b?.txt [c-d] a/x ./", &[]),
        ("COPY . b*.txt ./", &[]),
        ("COPY $UNKNOWN b*.txt ./", &[]),
        ("ADD https://a.example/f b*.txt ./", &[]),
        ("COPY <<EOF b*.txt ./\n a\nEOF", &[]),
        ("ONBUILD COPY a b*.txt ./", &[]),
        ("COPY b*.txt ./", &["b*.txt"]),
        ("COPY b*.txt c* ./", &["b*.txt", "c*"]),
        ("COPY a b.txt ./", &["b.txt"]),
        ("COPY b.txt c* ./", &["b.txt", "c*"]),
        ("COPY a ./\nCOPY b*.txt ./", &["b*.txt"]),
        ("RUN --mount=source=a --mount=source=b* make", &["b*"]),
    ] {
        let resolution = resolve(&format!("FROM base\n{body}\n"), None);
        let unmatched = resolution.unmatched(&["a/x"]);
        let unmatched: Vec<&str> = unmatched.map(|source| &*source.text).collect();
        assert_eq!(unmatched, wanted, "{body}");
    }
}

#[test]
fn variables_pass_from_stage_to_stage() {
    let text = "ARG D=global\nFROM base AS one\nENV E=e\nARG D\nFROM one\nCOPY $D $E /x\n";
    let resolution = resolve(text, None);
    assert!(
        resolution.may_copy("global/a") && resolution.may_copy("e") && !resolution.may_copy("f")
    );
    let text = "ARG D=global\nFROM base\nCOPY $D /x\n";
    assert!(
        resolve(text, None).may_copy("f"),
        "a global argument is not known in a stage"
    );
}

#[test]
fn the_network_is_told() {
    for (body, wanted) in [
        ("COPY a /", false),
        ("RUN true", true),
        ("RUN --network=none true", false),
        ("ADD https://example.com/x /", true),
        ("ADD x /", false),
    ] {
        assert_eq!(
            resolve(&format!("FROM a\n{body}\n"), None)
                .network()
                .is_some(),
            wanted,
            "{body}"
        );
    }
}

#[test]
fn images_are_replaced_without_moving_a_line() {
    let text = "FROM --platform=linux/amd64 deb\\\n# c\nian \\\n  AS x\nCOPY --from=busy\\\nbox /a /a\nRUN --mount=type=bind,from=alpine,target=/m \\\n ls\n";
    let dockerfile = parse(text);
    let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
    assert_eq!(
        used(&resolution),
        ["From debian", "Copy busybox", "Mount alpine"]
    );
    let digest = "r/x@sha256:1";
    let replacements: Vec<_> = resolution
        .uses()
        .map(|image| (image.span.clone(), digest.to_owned()))
        .collect();
    let replaced = dockerfile.substitute(&replacements);
    let again = Dockerfile::parse(Path::new("Dockerfile"), &replaced).unwrap();
    let lines = |dockerfile: &Dockerfile| {
        dockerfile
            .instructions()
            .iter()
            .map(|found| found.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&again), lines(&dockerfile));
    assert_eq!(
        String::from_utf8_lossy(&replaced).matches('\n').count(),
        text.matches('\n').count()
    );
    let resolution = again.resolve(&BTreeMap::new(), None).unwrap();
    assert_eq!(
        used(&resolution),
        [
            format!("From {digest}"),
            format!("Copy {digest}"),
            format!("Mount {digest}")
        ]
    );
    assert_eq!(resolution.stages()[0].name.as_deref(), Some("x"));
    assert_eq!(dockerfile.substitute(&[]), text.as_bytes());
}

#[test]
fn features_and_warnings_name_their_lines() {
    let text = "FROM a\nRUN --mount=type=cache,target=/c x\nCOPY --link --chown=1 a b\nADD https://example.com/x /x\nADD --checksum=sha256:0 https://example.com/x /x\nONBUILD COPY --chmod=1 a b\n";
    let dockerfile = parse(text);
    let features: Vec<(&str, usize)> = dockerfile
        .features()
        .iter()
        .map(|feature| (&*feature.name, feature.line))
        .collect();
    assert_eq!(
        features,
        [
            ("RUN --mount", 2),
            ("COPY --link", 3),
            ("ADD --checksum", 5),
            ("COPY --chmod", 6)
        ]
    );
}

/// However the URL is written, and only in the stages that the image needs.
#[test]
fn what_is_fetched_without_a_checksum_is_told() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (body, told) in [
        ("ADD https://a.example/x /x", "https://a.example/x"),
        (
            "ADD [\"https://a.example/x\", \"/x\"]",
            "https://a.example/x",
        ),
        ("ADD f https://a.example/x /x/", "https://a.example/x"),
        ("ARG U=http://a.example/x\nADD $U /x", "$U"),
        ("ENV U=http://a.example\nADD --chown=1 ${U}/x /x", "${U}/x"),
        (
            "ADD --checksum= https://a.example/x /x",
            "https://a.example/x",
        ),
        (
            "ADD git@a.example:x.git#main /x",
            "git@a.example:x.git#main",
        ),
        ("ONBUILD ADD https://a.example/x /x", "https://a.example/x"),
    ] {
        let text = format!("FROM a\n{body}\n");
        let line = text.trim_end().matches('\n').count() + 1;
        let warnings: Vec<String> = resolve(&text, None)
            .warnings()
            .map(ToString::to_string)
            .collect();
        let wanted = format!(
            "Dockerfile:{line}:1: `ADD {told}` without `--checksum`: what it fetches may change unnoticed"
        );
        assert_eq!(warnings, [wanted], "{body}");
    }
    for text in [
        "FROM a\nADD --checksum=sha256:0 https://a.example/x /x\n".to_owned(),
        "FROM a\nADD x https.txt /x/\nCOPY https://a.example/x /x\n".to_owned(),
        format!("FROM a\nADD https://a.example/x.git#{commit} /x\n"),
        format!("FROM a\nADD git@a.example:x.git#{commit}:folder /x\n"),
        "FROM a AS aside\nADD https://a.example/x /x\nFROM a\n".to_owned(),
    ] {
        assert_eq!(resolve(&text, None).warnings().count(), 0, "{text}");
    }
}

#[test]
fn a_failing_step_is_found() {
    let text = "ARG V=1\nFROM a AS build\nRUN one \\\n    && two\nWORKDIR /x\nFROM b\nENV P=/opt\nRUN same\nRUN install $P/bin ${V}x\nUSER u\nRUN same\nRUN <<EOF\ncat\nEOF\n";
    let dockerfile = parse(text);
    for (step, instruction, buildkit, wanted) in [
        (Some((1, 9)), "ARG V=1", false, Some(1)),
        (Some((3, 9)), "RUN one     && two", false, Some(3)),
        (Some((8, 9)), "RUN install $P/bin ${V}x", false, Some(9)),
        (Some((99, 99)), "RUN same", false, Some(8)),
        (None, "[build 2/3] RUN one     && two", true, Some(3)),
        (None, "RUN one && two", true, Some(3)),
        (None, "RUN one && t...", true, Some(3)),
        (None, "[stage-1 2/5] RUN same", true, Some(8)),
        (None, "[stage-1 4/5] RUN same", true, Some(11)),
        (None, "[linux/amd64 stage-1 4/5] RUN same", true, Some(11)),
        (None, "[stage-1 3/5] RUN install /opt/bin x", true, Some(9)),
        (None, "[stage-1 5/5] RUN <<EOF (cat)", true, Some(12)),
        (None, "[build 3/3] WORKDIR /x", true, Some(5)),
        (None, "RUN other", true, None),
        (None, "", true, None),
        (Some((0, 0)), "", false, None),
    ] {
        assert_eq!(
            dockerfile.line_of(step, instruction, buildkit),
            wanted,
            "{instruction}"
        );
    }
}

#[test]
fn many_lines_take_no_long_time() {
    let many = "RUN a \\\nRUN b\n".repeat(100_000);
    let sources = "x*y \\\n".repeat(200_000);
    let dockerfile = parse(&format!("FROM a\nCOPY {sources} /\n{many}"));
    assert_eq!(dockerfile.instructions().len(), 100_002);
    assert_eq!(dockerfile.line_of(None, "COPY x*y...", true), Some(2));
    let resolution = dockerfile.resolve(&BTreeMap::new(), None).unwrap();
    assert!(!resolution.may_copy("x"));
    assert_eq!(resolution.unmatched(&["xy"]).count(), 0);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "(FROM|RUN|COPY|ADD|ARG|ENV|ONBUILD|--from=|--mount=|<<E|[ \\\\\"'$`\\{\\}=,:#a-c\u{e9}]|\n|\r\n|\\[){0,40}") {
        if let Ok(dockerfile) = Dockerfile::parse(Path::new("Dockerfile"), text.as_bytes()) {
            if let Ok(resolution) = dockerfile.resolve(&BTreeMap::new(), None) {
                let replacements: Vec<_> = resolution.uses().map(|used| (used.span.clone(), "image".to_owned())).collect();
                let replaced = dockerfile.substitute(&replacements);
                proptest::prop_assert!(Dockerfile::parse(Path::new("Dockerfile"), &replaced).is_ok());
                proptest::prop_assert_eq!(dockerfile.substitute(&[]), text.as_bytes());
            }
            let _ = dockerfile.line_of(Some((1, 2)), &text, true);
        }
    }
}
