//! What `[images.NAME]` says of a job: where its code is, which file is run, and what is left out.

use std::path::Path;

use serde_spanned::Spanned;

use super::{
    CodeTree, MainFile, Package,
    config::{ImageTable, OneOrMore, Text},
    exclusions::{has_link, is_identifier},
    ignore::DefaultExcludes,
    loader::Loader,
    place::Defect,
};
use crate::code::Code;

type Src = Spanned<OneOrMore>;

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
        let main = self.main(settings, src, &trees)?;
        let tables = self.loader.config.images.values();
        let jobs = tables.filter(|table| table.get_ref().src.is_some()).count();
        let dist = if folder.is_some() || jobs > 1 {
            format!("dist/{name}")
        } else {
            "dist".to_owned()
        };
        Ok(Package {
            place: self.loader.origin.place(src),
            trees,
            main,
            exclude: self.exclude(settings)?,
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

    fn main(
        &self,
        settings: &ImageTable,
        src: &Src,
        trees: &[CodeTree],
    ) -> Result<MainFile, Defect> {
        let text = settings.main.as_ref().map(Spanned::get_ref);
        let text = text.map_or("main.py", String::as_str);
        let at = |path: &str| match &settings.main {
            Some(main) => self.loader.inside(main, path),
            None => self.loader.inside(src, path),
        };
        let mut tried = Vec::new();
        for folder in main_folders(trees) {
            let path = at(&format!("{folder}/{text}"))?;
            if self.loader.root.join(&path).is_file() {
                let packed = trees.iter().find_map(|tree| tree.packed_file(&path));
                return Ok(MainFile { path, packed });
            }
            tried.push(path);
        }
        let message = format!(
            "there is no file `{}`",
            tried.first().map_or(text, String::as_str)
        );
        let defect = match &settings.main {
            Some(main) => self.loader.origin.defect(Code::E089, main, message),
            None => self.loader.origin.defect(Code::E089, src, message),
        };
        let hint = "`main` is the file that spark-submit runs, below `src` or the project's folder: `main = \"main.py\"`";
        Err(defect.hint(hint))
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

/// Where a job's main file is looked for: in the roots of import, then in the project's folder.
fn main_folders(trees: &[CodeTree]) -> Vec<&str> {
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
