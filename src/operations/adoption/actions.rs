//! Builds by GitHub's action `docker/build-push-action`.

use super::{
    build_line::BuildLine,
    image_name::ImageName,
    tree::{joined, normal},
    variables::{UNKNOWN, Variables},
};
use crate::project::place::Place;

/// The builds of a workflow: what stands below each use of the action, line by line.
pub(super) fn builds(path: &str, text: &str, variables: &Variables) -> Vec<BuildLine> {
    let lines: Vec<&str> = text.lines().collect();
    let uses = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("uses:") && line.contains("docker/build-push-action"));
    uses.map(|(index, line)| {
        let place = Place::of_line(path, index + 1);
        // A step ends where the next one, or something further out, begins.
        let depth = indent(line.trim_start_matches([' ', '-']), line);
        let step = lines[index + 1..].iter().take_while(|line| {
            let is_next =
                line.trim_start().starts_with("- ") && indent(line.trim_start(), line) < depth;
            line.trim().is_empty() || !is_next && indent(line.trim_start(), line) + 2 >= depth
        });
        of_step(&place, step.copied(), variables)
    })
    .collect()
}

fn indent(rest: &str, line: &str) -> usize {
    line.len() - rest.len()
}

fn of_step<'l>(
    place: &Place,
    lines: impl Iterator<Item = &'l str>,
    variables: &Variables,
) -> BuildLine {
    let mut build = BuildLine::at(place);
    let mut key = "";
    let (mut context, mut file) = (".".to_owned(), None);
    for line in lines {
        let line = line.trim();
        let (name, value) = match line.split_once(':') {
            Some((name, value)) if KEYS.contains(&name) => (name, value.trim()),
            _ => (key, line),
        };
        key = if KEYS.contains(&name) { name } else { "" };
        let value = value.trim_matches(['"', '\'', '|', '>', '-', ' ']);
        let value = variables.expand(value);
        match key {
            _ if value.is_empty() => {}
            "context" => context = value,
            "file" => file = Some(value),
            "target" => build.target = Some(value),
            "tags" => build.names.extend(
                value
                    .split(',')
                    .filter_map(|tag| ImageName::parse(tag.trim())),
            ),
            "build-args" => {
                let argument = value
                    .split_once('=')
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                build.arguments.extend(argument);
            }
            _ => {}
        }
    }
    let is_known = |path: &String| !path.contains(UNKNOWN);
    let beside = joined(&context, "Dockerfile");
    build.dockerfile = Some(normal(&file.unwrap_or(beside))).filter(is_known);
    build.context = Some(normal(&context)).filter(is_known);
    build
}

/// The keys of the action, those that say nothing of an image too: a list ends where the next key begins.
const KEYS: [&str; 18] = [
    "context",
    "file",
    "target",
    "tags",
    "build-args",
    "push",
    "load",
    "platforms",
    "cache-from",
    "cache-to",
    "labels",
    "secrets",
    "with",
    "provenance",
    "no-cache",
    "pull",
    "if",
    "env",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_it_builds() {
        let text = "env:\n  REGISTRY: ghcr.example\njobs:\n  build:\n    steps:\n      - name: Build\n        \
                    uses: docker/build-push-action@v6\n        with:\n          context: jobs/a\n          \
                    push: true\n          tags: |\n            ${{ env.REGISTRY }}/acme/a:${{ github.sha }}\n            \
                    ${{ env.REGISTRY }}/acme/a:latest\n          build-args: |\n            LEVEL=2\n      \
                    - run: echo\n        with:\n          context: other\n";
        let variables = Variables::of(text);
        let builds = builds(".github/workflows/a.yml", text, &variables);
        let [build] = builds.as_slice() else {
            panic!("{builds:?}");
        };
        assert_eq!(build.dockerfile.as_deref(), Some("jobs/a/Dockerfile"));
        assert_eq!(build.context.as_deref(), Some("jobs/a"));
        assert_eq!(build.place.line, 7);
        let shown: Vec<String> = build.names.iter().map(ImageName::shown).collect();
        assert_eq!(shown, ["ghcr.example/acme/a", "ghcr.example/acme/a"]);
        assert_eq!(build.names[0].tag.as_deref(), Some("\u{1}"));
        assert_eq!(build.arguments.get("LEVEL").map(String::as_str), Some("2"));
    }
}
