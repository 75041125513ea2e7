//! What the wanted stage of a Dockerfile puts where in the image.

use super::{Dockerfile, Pattern, Resolution, Used, stages, words};

/// What an instruction puts into the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Files of the context.
    Files {
        /// What they match.
        sources: Vec<Pattern>,
        /// Where they go: an absolute path without a `/` at its end.
        destination: String,
        /// Whether a single file lies below the destination, rather than being it.
        is_folder: bool,
    },
    /// Anything, at or below a path.
    Unknown(String),
    /// Whatever a command does, in a working folder.
    Command {
        /// The command.
        text: String,
        /// The working folder.
        folder: String,
    },
}

impl Dockerfile {
    /// What the wanted stage puts where, on top of its base; `None` if that cannot be told.
    #[must_use]
    pub fn placed(&self, resolution: &Resolution) -> Option<Vec<Placed>> {
        let stage = resolution.stages().get(resolution.target())?;
        if matches!(stage.base.used, Used::Stage(_)) {
            return None;
        }
        let instructions = self.instructions.iter();
        let own = instructions
            .skip_while(|instruction| instruction.line != stage.line)
            .skip(1)
            .take_while(|instruction| instruction.keyword != "FROM");
        let mut folder = "/".to_owned();
        let mut placed = Vec::new();
        for instruction in own {
            match &*instruction.keyword {
                "ONBUILD" => return None,
                "WORKDIR" => folder = absolute(&folder, &instruction.arguments)?,
                "RUN" => placed.push(Placed::Command {
                    text: instruction.arguments.clone(),
                    folder: folder.clone(),
                }),
                "COPY" | "ADD" => {
                    let has_heredoc = !instruction.heredocs.is_empty();
                    let is_add = instruction.keyword == "ADD";
                    let copied = copied(&instruction.arguments, &folder, has_heredoc || is_add);
                    placed.push(copied?);
                }
                _ => {}
            }
        }
        Some(placed)
    }
}

fn copied(arguments: &str, folder: &str, is_unknown: bool) -> Option<Placed> {
    let (flags, rest) = words::flags(arguments);
    let list = words::json_list(rest).unwrap_or_else(|| {
        let words = words::plain_words(rest).into_iter();
        words.map(|word| rest[word].to_owned()).collect()
    });
    let (last, sources) = list.split_last()?;
    let destination = absolute(folder, last)?;
    let is_elsewhere = flags
        .iter()
        .any(|flag| matches!(&*flag.name, "from" | "parents"));
    let is_other = |source: &String| source.contains('$') || stages::is_url(source);
    if is_unknown || is_elsewhere || sources.iter().any(is_other) {
        return Some(Placed::Unknown(destination));
    }
    let is_folder = last.ends_with(['/', '.']) || sources.len() > 1;
    let sources = sources.iter().map(|source| Pattern::of(source, false));
    Some(Placed::Files {
        sources: sources.collect(),
        destination,
        is_folder,
    })
}

/// The path below a folder, without `.` and a `/` at its end; `None` if it has variables or `..`.
fn absolute(folder: &str, path: &str) -> Option<String> {
    let path = path.trim_matches(['"', '\'']);
    if path.contains(['$', '\\']) || path.split('/').any(|part| part == "..") {
        return None;
    }
    let whole = match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("{folder}/{path}"),
    };
    let parts = whole.split('/').filter(|part| !matches!(*part, "" | "."));
    Some(parts.fold(String::new(), |whole, part| format!("{whole}/{part}")))
}

impl Pattern {
    /// The path of a copied file below the destination: its name, or what lies below the folder that matches.
    #[must_use]
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        if *self == Self::Everything {
            return Some(path);
        }
        let mut folders = path.match_indices('/').map(|(end, _)| end);
        let folder = folders.find(|end| self.matches(&path[..*end]));
        match folder {
            Some(end) => Some(&path[end + 1..]),
            None => self
                .matches(path)
                .then(|| path.rsplit('/').next().unwrap_or(path)),
        }
    }
}
