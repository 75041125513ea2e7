//! What `[images.NAME]` says of a job: where its code is, which files are run, what lies beside it, and what is left out.

use std::{collections::BTreeMap, path::Path};

use serde_spanned::Spanned;

use super::{
    BesideFile, CodeForm, CodeTree, MainFile, Package,
    config::{ImageTable, OneOrMore, Text},
    exclusions::{has_link, is_identifier},
    glob::{self, PathKind},
    ignore::DefaultExcludes,
    loader::{Loader, inside},
    place::{Defect, Place},
};
use crate::code::Code;

type Src = Spanned<OneOrMore>;

/// A file beside the code, with its path there.
type Named = (String, BesideFile);

/// The name that the first main file has in an image.
const MAIN: &str = "main.py";

/// What jobs are loaded from.
pub(super) struct Jobs<'a> {
    pub(super) loader: &'a Loader<'a>,
}

impl Jobs<'_> {
    /// The package of the image `name`, which may be one of many: those of the folders that `each` matches.
    pub(super) fn package(
        &self,
        (settings, src): (&ImageTable, &Src),
        folder: Option<&str>,
        name: &str,
    ) -> Result<Package, Defect> {
        let fill = |text: &str| text.replace("{dir}", folder.unwrap_or("{dir}"));
        let trees = self.trees(src, &fill)?;
        let mains = self.mains(settings, src, &trees)?;
        let Some((main, _)) = mains.first().cloned() else {
            let place = settings
                .main
                .as_ref()
                .map(|main| self.loader.origin.place(main));
            let place = place.unwrap_or_else(|| self.loader.origin.place(src));
            return Err(Defect::new(Code::E022, place, "`main` is an empty list")
                .hint("name the files that spark-submit runs: `main = [\"main.py\"]`"));
        };
        let mains = mains.into_iter().map(|(_, named)| named).collect();
        let tables = self.loader.config.images.values();
        let jobs = tables.filter(|table| table.get_ref().src.is_some()).count();
        let dist = if folder.is_some() || jobs > 1 {
            format!("dist/{name}")
        } else {
            "dist".to_owned()
        };
        Ok(Package {
            place: self.loader.origin.place(src),
            main,
            beside: self.beside(settings, &trees, mains)?,
            form: self.form(settings)?,
            trees,
            exclude: self.exclude(settings)?,
            ignored_imports: self.ignored_imports(settings)?,
            dist,
        })
    }

    /// The folders and modules of a job's code. A single folder is a root of import. In a list, a folder is a package
    /// that is imported by its own name, and a root of import only with a slash at its end.
    fn trees(&self, src: &Src, fill: &dyn Fn(&str) -> String) -> Result<Vec<CodeTree>, Defect> {
        let texts = match src.get_ref() {
            OneOrMore::One(text) => {
                let path = self.folder(src, &fill(text))?;
                return Ok(vec![root_of_import(path)]);
            }
            OneOrMore::More(texts) => texts,
        };
        if texts.is_empty() {
            let defect = self
                .loader
                .origin
                .defect(Code::E022, src, "`src` is an empty list");
            return Err(defect.hint("name the folders with the job's code: `src = [\"jobs\"]`"));
        }
        let mut trees: Vec<CodeTree> = Vec::new();
        for text in texts {
            let tree = self.tree(text, &fill(text.get_ref()))?;
            if trees.contains(&tree) {
                let message = format!("`{}` is in the list already", text.get_ref());
                let defect = self.loader.origin.defect(Code::E022, text, message);
                return Err(defect.hint("name each folder once"));
            }
            trees.push(tree);
        }
        Ok(trees)
    }

    /// An entry of a list.
    fn tree(&self, text: &Text, filled: &str) -> Result<CodeTree, Defect> {
        let path = self.loader.inside(text, filled)?;
        if filled.ends_with('/') || path == "." {
            return Ok(root_of_import(self.folder(text, &path)?));
        }
        let name = path.rsplit('/').next().unwrap_or(&path);
        let module = name.strip_suffix(".py");
        if !is_identifier(module.unwrap_or(name)) {
            let message = format!("`{name}` is no name that Python can import");
            return Err(self.loader.origin.defect(Code::E150, text, message).hint(format!(
                "rename it, or write `{path}/`: the packages and modules in it are then imported by their own names"
            )));
        }
        if module.is_some() && self.loader.root.join(&path).is_file() {
            return Ok(CodeTree {
                packed: name.to_owned(),
                is_module: true,
                path,
            });
        }
        let packed = name.to_owned();
        Ok(CodeTree {
            path: self.folder(text, &path)?,
            packed,
            is_module: false,
        })
    }

    /// A folder with code, which must be there, and not in `dist`.
    fn folder<T>(&self, text: &Spanned<T>, path: &str) -> Result<String, Defect> {
        let folder = self.loader.inside(text, path)?;
        if !self.loader.root.join(&folder).is_dir() {
            let message = format!("there is no folder `{folder}`");
            let defect = self.loader.origin.defect(Code::E089, text, message);
            return Err(defect.hint(
                "`src` is the folder with the job's code, or a list of its packages and modules",
            ));
        }
        if self.loader.is_in_dist(&folder) {
            let message = format!("`src = \"{folder}\"`: `dist` is what sparkpack makes");
            let defect = self.loader.origin.defect(Code::E090, text, message);
            return Err(defect.hint("put the code into a folder of its own, such as `src`"));
        }
        self.without_links(text, folder)
    }

    /// The folder, which may be reached by links but lies in the project. The project's own folder has only one name.
    fn without_links<T>(&self, text: &Spanned<T>, folder: String) -> Result<String, Defect> {
        let root = self.loader.root;
        if !has_link(root, Path::new(&folder)) {
            return Ok(folder);
        }
        let real = |path: &Path| fs_err::canonicalize(path).ok();
        let (Some(top), Some(there)) = (real(root), real(&root.join(&folder))) else {
            return Ok(folder);
        };
        if there == top {
            return Ok(".".to_owned());
        }
        if there.starts_with(&top) {
            return Ok(folder);
        }
        let message = format!("the symbolic link `{folder}` leads out of the project's folder");
        let defect = self.loader.origin.defect(Code::E091, text, message);
        Err(defect.hint("put the code into the project's folder, or name the folder that holds both as the project"))
    }

    /// The files that `spark-submit` runs, each with the path that the configuration gives it.
    fn mains(
        &self,
        settings: &ImageTable,
        src: &Src,
        trees: &[CodeTree],
    ) -> Result<Vec<(MainFile, Named)>, Defect> {
        let place = |text: &Text| self.loader.origin.place(text);
        let texts: Vec<(String, Place)> = match settings.main.as_ref() {
            None => vec![("main.py".to_owned(), self.loader.origin.place(src))],
            Some(main) => match main.get_ref() {
                OneOrMore::One(text) => vec![(text.clone(), self.loader.origin.place(main))],
                OneOrMore::More(texts) => texts
                    .iter()
                    .map(|text| (text.get_ref().clone(), place(text)))
                    .collect(),
            },
        };
        let mut mains = Vec::new();
        for (text, place) in texts {
            let path = self.main(&text, &place, trees)?;
            let name = inside(&text, &place)?;
            let packed = trees.iter().find_map(|tree| tree.packed_file(&path));
            let file = BesideFile {
                path: path.clone(),
                place,
                is_main: true,
            };
            mains.push((MainFile { path, packed }, (name, file)));
        }
        Ok(mains)
    }

    /// Where a main file lies, relative to the project's folder.
    fn main(&self, text: &str, place: &Place, trees: &[CodeTree]) -> Result<String, Defect> {
        let mut tried = Vec::new();
        for folder in roots_of_import(trees) {
            let path = inside(&format!("{folder}/{text}"), place)?;
            if self.loader.root.join(&path).is_file() {
                return Ok(path);
            }
            tried.push(path);
        }
        let message = format!(
            "there is no file `{}`",
            tried.first().map_or(text, String::as_str)
        );
        let hint = "`main` is the file that spark-submit runs, below `src` or the project's folder: `main = \"main.py\"`";
        Err(Defect::new(Code::E089, place.clone(), message).hint(hint))
    }

    /// The files that an image has beside the code: those of `files`, and main files by their own paths.
    fn beside(
        &self,
        settings: &ImageTable,
        trees: &[CodeTree],
        mains: Vec<Named>,
    ) -> Result<BTreeMap<String, BesideFile>, Defect> {
        let mut beside: BTreeMap<String, BesideFile> = BTreeMap::new();
        let mut files = Vec::new();
        for (number, (name, file)) in mains.into_iter().enumerate() {
            // The first is `main.py` whatever it is called.
            if number > 0 || name != MAIN {
                files.push((name, file));
            }
        }
        for text in &settings.files {
            files.extend(self.files(text, trees)?);
        }
        for (name, file) in files {
            if let Some(what) = taken(&name) {
                let message = format!(
                    "`{}` would be `{name}` beside the job's code, where {what}",
                    file.path
                );
                return Err(Defect::new(Code::E152, file.place, message)
                    .hint("put it into a folder with another name"));
            }
            match beside.get(&name) {
                Some(other) if other.path != file.path => {
                    let message = format!(
                        "`{}` and `{}` would both be `{name}` beside the job's code",
                        other.path, file.path
                    );
                    return Err(Defect::new(Code::E151, file.place, message)
                        .hint("rename one of them, or name one by a longer path"));
                }
                Some(_) => {}
                None => drop(beside.insert(name, file)),
            }
        }
        Ok(beside)
    }

    /// The files that a glob matches: below the first root of import where it matches one, else below the project.
    fn files(&self, text: &Text, trees: &[CodeTree]) -> Result<Vec<Named>, Defect> {
        let origin = &self.loader.origin;
        let pattern = self.loader.inside(text, text.get_ref())?;
        let excludes = DefaultExcludes::anywhere();
        for folder in roots_of_import(trees) {
            let found = glob::matching(&self.loader.root.join(folder), &pattern, PathKind::Files);
            let found = found.map_err(|reason| origin.defect(Code::E022, text, reason))?;
            let named = found.into_iter().filter_map(|name| {
                let path = match folder {
                    "." => name.clone(),
                    folder => format!("{folder}/{name}"),
                };
                let is_kept =
                    excludes.excluded(&name, false).is_none() && !path.starts_with("dist/");
                let place = origin.place(text);
                let is_main = false;
                is_kept.then_some((
                    name,
                    BesideFile {
                        path,
                        place,
                        is_main,
                    },
                ))
            });
            let named: Vec<Named> = named.collect();
            if !named.is_empty() {
                return Ok(named);
            }
        }
        let message = format!("`files`: no file matches `{pattern}`");
        let defect = origin.defect(Code::E089, text, message);
        Err(defect.hint(
            "`files` are globs of what an image has beside the job's code, below `src` or the project's folder",
        ))
    }

    fn form(&self, settings: &ImageTable) -> Result<Option<CodeForm>, Defect> {
        let Some(text) = &settings.code else {
            return Ok(None);
        };
        match text.get_ref().as_str() {
            "zip" => Ok(Some(CodeForm::Zip)),
            "folder" => Ok(Some(CodeForm::Folder)),
            other => {
                let message = format!("`code = \"{other}\"` is no form of a job's code");
                let defect = self.loader.origin.defect(Code::E022, text, message);
                Err(defect.hint(
                    "write `\"folder\"` or `\"zip\"`, or leave it out: data files make it a folder",
                ))
            }
        }
    }

    /// The rules of a job besides the built-in ones. What `include` takes, `exclude` may leave out again.
    fn exclude(&self, settings: &ImageTable) -> Result<Vec<String>, Defect> {
        let mut patterns = Vec::new();
        for text in &settings.include {
            if text.get_ref().starts_with('!') {
                let message = format!("`{}`: `include` takes what matches", text.get_ref());
                let defect = self.loader.origin.defect(Code::E022, text, message);
                return Err(defect.hint("write it without `!`, or put it into `exclude`"));
            }
            patterns.push(self.pattern(text, "!")?);
        }
        for text in self.loader.config.exclude.iter().chain(&settings.exclude) {
            patterns.push(self.pattern(text, "")?);
        }
        Ok(patterns)
    }

    fn ignored_imports(&self, settings: &ImageTable) -> Result<Vec<String>, Defect> {
        let checked = settings.ignore_imports.iter().map(|text| {
            let name = text.get_ref().as_str();
            let module = name.strip_suffix(".*").unwrap_or(name);
            if name == "*" || module.split('.').all(is_identifier) {
                return Ok(name.to_owned());
            }
            let message = format!("`{name}` is not the name of a module");
            let defect = self.loader.origin.defect(Code::E022, text, message);
            Err(defect.hint("write it as it is imported: `\"datajob\"` or `\"google.cloud.*\"`"))
        });
        checked.collect()
    }

    fn pattern(&self, text: &Text, before: &str) -> Result<String, Defect> {
        let pattern = text.get_ref();
        match DefaultExcludes::of_job_sources().excluding([pattern.as_str()]) {
            Ok(_) => Ok(format!("{before}{pattern}")),
            Err(error) => {
                let hint = error.hint();
                let message = error.to_string();
                let defect = self.loader.origin.defect(Code::E022, text, message);
                Err(Defect { hint, ..defect })
            }
        }
    }
}

fn root_of_import(path: String) -> CodeTree {
    CodeTree {
        path,
        packed: String::new(),
        is_module: false,
    }
}

/// Where main files and files beside the code are looked for: in the roots of import, then in the project's folder.
fn roots_of_import(trees: &[CodeTree]) -> Vec<&str> {
    let mut folders: Vec<&str> = Vec::new();
    let roots = trees.iter().map(|tree| match tree.packed.as_str() {
        "" => tree.path.as_str(),
        _ => tree.path.rsplit_once('/').map_or(".", |(folder, _)| folder),
    });
    for folder in roots.chain(["."]) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// What has a name beside a job's code already.
fn taken(name: &str) -> Option<String> {
    let first = name.split('/').next().unwrap_or(name);
    let is_taken = first.starts_with('.')
        || [MAIN, "jobs.zip", "libs.zip", "site-packages"].contains(&first)
        || ["images.json", "oci", "records"].contains(&first)
        || name == "jobs";
    is_taken.then(|| format!("`{first}` is sparkpack's own"))
}
