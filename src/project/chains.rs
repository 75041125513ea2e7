//! The chains of a configuration: those whose images are all made, and those that stand on an image from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_spanned::Spanned;

use super::{
    config::{self, Text, missing_hint},
    elsewhere::{ElsewhereChain, Override, Supplied, two_numbers},
    loader::Loader,
    place::Defect,
    settings::{Chain, ChainOrigin, MadeChain, Operator, OperatorOrigin},
};
use crate::{code::Code, image::Reference};

const ROOT_IMAGE: &str = "debian:bookworm-slim";
const JAVA: &str = "17";

type Table = Spanned<config::ChainTable>;

impl Loader<'_> {
    pub(super) fn chains(&self) -> Result<BTreeMap<String, Chain>, Defect> {
        let chains = self.config.chains.iter();
        chains
            .map(|(name, table)| Ok((name.clone(), self.chain(name, table)?)))
            .collect()
    }

    fn chain(&self, name: &str, table: &Table) -> Result<Chain, Defect> {
        let chain = table.get_ref();
        let origin = match &chain.image {
            None => ChainOrigin::Made(self.made_chain(table)?),
            Some(image) => ChainOrigin::Elsewhere(Box::new(self.elsewhere_chain(image, table)?)),
        };
        Ok(Chain {
            name: name.to_owned(),
            place: self.origin.place(table),
            origin,
            ds_jars: self.known_sources(&chain.jars.ds)?,
            operator: chain
                .operator
                .as_ref()
                .map(|table| self.operator(table))
                .transpose()?,
        })
    }

    fn made_chain(&self, table: &Table) -> Result<MadeChain, Defect> {
        let chain = table.get_ref();
        self.refuse_without_image(chain)?;
        let needed = |key: &str, text: &Option<Text>| {
            let missing = || {
                let message = format!("the key `{key}` is missing");
                let defect = self.origin.defect(Code::E023, table, message);
                defect.hint(missing_hint(key))
            };
            text.clone().ok_or_else(missing)
        };
        let spark_text = needed("spark", &chain.spark)?;
        let python_text = needed("python", &chain.python)?;
        let python = self.python_version(&python_text)?;
        let spark = self.spark_version(&spark_text)?;
        if let Some(root) = &chain.root {
            self.image_reference(root)?;
        }
        let or = |text: &Option<Text>, default: &str| {
            text.as_ref()
                .map_or(default.to_owned(), |text| text.get_ref().clone())
        };
        Ok(MadeChain {
            python,
            python_place: self.origin.place(&python_text),
            java: or(&chain.java, JAVA),
            root: or(&chain.root, ROOT_IMAGE),
            spark_source: match &chain.spark_source {
                Some(text) => self.known_source(text)?,
                None => format!("spark-{spark}"),
            },
            spark,
            base_jars: self.known_sources(&chain.jars.base)?,
        })
    }

    fn elsewhere_chain(&self, image: &Text, table: &Table) -> Result<ElsewhereChain, Defect> {
        let chain = table.get_ref();
        self.refuse_beside_image(image, chain)?;
        self.image_reference(image)?;
        let plain = |text: &Option<Text>| text.as_ref().map(|text| self.written(text));
        let numbers = |key: &str, text: &Option<Text>| {
            let parsed = text.as_ref().map(|text| {
                let value = two_numbers(text.get_ref()).ok_or_else(|| {
                    let message = format!("`{}` is no version such as `3.11`", text.get_ref());
                    let defect = self.origin.defect(Code::E022, text, message);
                    defect.hint(format!("give two numbers: `{key} = \"3.11\"`"))
                })?;
                Ok(Override {
                    value,
                    place: self.origin.place(text),
                })
            });
            parsed.transpose()
        };
        let list = |texts: &Option<Spanned<Vec<String>>>| {
            texts.as_ref().map(|texts| Override {
                value: texts.get_ref().clone(),
                place: self.origin.place(texts),
            })
        };
        if let Some(text) = &chain.spark {
            self.spark_version(text)?;
        }
        let paths = chain
            .spark_home
            .iter()
            .map(|text| (text.get_ref(), self.origin.place(text)));
        let site_packages = chain.site_packages.iter().flat_map(|texts| {
            let place = self.origin.place(texts);
            texts
                .get_ref()
                .iter()
                .map(move |text| (text, place.clone()))
        });
        if let Some((path, place)) = paths.chain(site_packages).find(|(path, _)| !is_path(path)) {
            let message = format!("`{path}` is no path of a folder in an image");
            return Err(Defect::new(Code::E022, place, message)
                .hint("write it from the root on: `/opt/spark`"));
        }
        Ok(ElsewhereChain {
            spark: plain(&chain.spark),
            scala: plain(&chain.scala),
            java: plain(&chain.java),
            python: numbers("python", &chain.python)?,
            glibc: numbers("glibc", &chain.glibc)?,
            spark_home: plain(&chain.spark_home),
            site_packages: list(&chain.site_packages),
            binding: list(&chain.binding),
            supplied: self.supplied(chain)?,
            ..ElsewhereChain::of(image.get_ref(), self.origin.place(image))
        })
    }

    fn written(&self, text: &Text) -> Override<String> {
        Override {
            value: text.get_ref().trim_end_matches('/').to_owned(),
            place: self.origin.place(text),
        }
    }

    /// What the platform brings. Its version must be known, as nothing can be found in the image.
    fn supplied(&self, chain: &config::ChainTable) -> Result<BTreeSet<Supplied>, Defect> {
        let mut supplied = BTreeSet::new();
        for text in chain.supplied.iter().flat_map(Spanned::get_ref) {
            let (one, version, example) = match text.get_ref().as_str() {
                "spark" => (Supplied::Spark, &chain.spark, "spark = \"4.1.4\""),
                "python" => (Supplied::Python, &chain.python, "python = \"3.11\""),
                other => {
                    let message = format!("`{other}` is nothing that a platform can bring");
                    let defect = self.origin.defect(Code::E022, text, message);
                    return Err(defect.hint("write `spark`, `python` or both"));
                }
            };
            if version.is_none() {
                let message = format!(
                    "the platform brings {0}, and nothing says which version: `{0}` is missing",
                    text.get_ref()
                );
                let defect = self.origin.defect(Code::E023, text, message);
                return Err(defect.hint(format!("add `{example}`")));
            }
            supplied.insert(one);
        }
        Ok(supplied)
    }

    /// Refuses what says how the base of a chain is made beside an image that is the base.
    fn refuse_beside_image(&self, image: &Text, chain: &config::ChainTable) -> Result<(), Defect> {
        let others = [
            ("root", chain.root.as_ref()),
            ("spark-source", chain.spark_source.as_ref()),
            ("jars.base", chain.jars.base.first()),
        ];
        for (key, text) in others {
            let Some(text) = text else {
                continue;
            };
            let message = format!(
                "`{key}` says how the chain's base is made, and `image` at {} says that it is `{}`, which is not made",
                self.origin.place(image),
                image.get_ref()
            );
            let defect = self.origin.defect(Code::E130, text, message);
            let hint = if key == "jars.base" {
                "remove one of the two lines; `jars.ds` puts jars into the image `ds`"
            } else {
                "remove one of the two lines"
            };
            return Err(defect.hint(hint));
        }
        Ok(())
    }

    /// Refuses what only an image from elsewhere can be told.
    fn refuse_without_image(&self, chain: &config::ChainTable) -> Result<(), Defect> {
        let text = |key, text: &Option<Text>| Some((key, self.origin.place(text.as_ref()?)));
        let list = |key, texts: &Option<Spanned<Vec<String>>>| {
            Some((key, self.origin.place(texts.as_ref()?)))
        };
        let supplied = chain.supplied.as_ref();
        let found = text("scala", &chain.scala)
            .or_else(|| text("glibc", &chain.glibc))
            .or_else(|| text("spark-home", &chain.spark_home))
            .or_else(|| list("site-packages", &chain.site_packages))
            .or_else(|| list("binding", &chain.binding))
            .or_else(|| Some(("supplied", self.origin.place(supplied?))));
        let Some((key, place)) = found else {
            return Ok(());
        };
        let message =
            format!("`{key}` tells what is in an `image` from elsewhere, and the chain names none");
        Err(Defect::new(Code::E022, place, message).hint(format!(
            "remove `{key}`, or name the image: `image = \"apache/spark:3.5.8-python3\"`"
        )))
    }

    fn known_sources(&self, texts: &[Text]) -> Result<Vec<String>, Defect> {
        let sources = texts.iter().map(|text| self.known_source(text));
        sources.collect()
    }

    fn python_version(&self, text: &Text) -> Result<(u8, u8), Defect> {
        two_numbers(text.get_ref()).ok_or_else(|| {
            let message = format!("`{}` is no Python version such as `3.11`", text.get_ref());
            self.origin
                .defect(Code::E022, text, message)
                .hint("give major and minor only: `python = \"3.11\"`")
        })
    }

    fn spark_version(&self, text: &Text) -> Result<String, Defect> {
        let spark = text.get_ref();
        let part =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if spark.split('.').count() >= 3 && spark.split('.').all(part) {
            return Ok(spark.clone());
        }
        let message = format!("`{spark}` is no Spark version such as `4.1.4`");
        Err(self.origin.defect(Code::E022, text, message))
    }

    fn operator(&self, table: &Spanned<config::Operator>) -> Result<Operator, Defect> {
        let operator = table.get_ref();
        let origin = match (&operator.image, &operator.source) {
            (Some(image), None) => {
                self.image_reference(image)?;
                OperatorOrigin::Image(image.get_ref().clone())
            }
            (None, Some(source)) => OperatorOrigin::Source(self.known_source(source)?),
            _ => {
                let defect = self.origin.defect(
                    Code::E023,
                    table,
                    "an operator comes from either an `image` or a `source`",
                );
                return Err(defect
                    .hint("write `image = \"ghcr.io/kubeflow/spark-operator/controller:2.5.2\"`"));
            }
        };
        let path = operator.path.as_ref();
        Ok(Operator {
            origin,
            place: path.map_or_else(|| self.origin.place(table), |path| self.origin.place(path)),
            path: path.map(|path| path.get_ref().clone()),
        })
    }

    fn image_reference(&self, text: &Text) -> Result<(), Defect> {
        let parsed = text.get_ref().parse::<Reference>();
        parsed
            .map(|_| ())
            .map_err(|error| self.origin.defect(Code::E025, text, error.to_string()))
    }
}

/// Whether a text is the path of a folder in an image, which cannot be its root.
fn is_path(text: &str) -> bool {
    let mut parts = text
        .split('/')
        .skip(1)
        .filter(|part| !part.is_empty())
        .peekable();
    text.starts_with('/') && parts.peek().is_some() && !parts.any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use crate::project::{Project, place::Defect};

    /// A project with this chain and this job.
    fn loaded(chain: &str, images: &str) -> Result<Project, Defect> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir(root.join("src")).unwrap();
        fs_err::write(root.join("src/main.py"), "").unwrap();
        fs_err::write(root.join("x.jar"), "").unwrap();
        fs_err::write(root.join("Dockerfile"), "FROM scratch\n").unwrap();
        let text = format!(
            "format = 1\nproject = 'p'\nregistries.main = 'r.example/t'\n{chain}\n[sources.x]\npath = 'x.jar'\n{images}"
        );
        fs_err::write(root.join("sparkpack.toml"), text).unwrap();
        load(root, &|_| None)
    }

    const JOB: &str = "[images.job]\nsrc = 'src'\n";
    const IMAGE: &str = "[chains.main]\nimage = 'apache/spark:3.5.8-python3'\n";

    /// The job of a project, and what it and ds stand on.
    fn below(chain: &str, images: &str) -> (Option<String>, Option<String>, Vec<String>) {
        let project = loaded(chain, images).unwrap();
        let job = &project.images["job"];
        let names = project.images.keys().cloned().collect();
        (job.parent.clone(), job.elsewhere.clone(), names)
    }

    #[test]
    fn base_and_py_are_the_image_and_the_rest_stands_on_it() {
        let image = Some("apache/spark:3.5.8-python3".to_owned());
        let (parent, elsewhere, names) = below(IMAGE, JOB);
        assert_eq!((parent.as_deref(), elsewhere), (Some("ds"), None));
        assert_eq!(names, ["ds", "job"]);
        let project = loaded(IMAGE, JOB).unwrap();
        assert_eq!(project.images["ds"].elsewhere, image);
        for parent in ["base", "py", "apache/spark:3.5.8-python3"] {
            let job = format!("{JOB}parent = '{parent}'\n");
            assert_eq!(
                below(IMAGE, &job),
                (None, image.clone(), vec!["job".to_owned()])
            );
        }
        let short = format!("{JOB}parent = 'r.example:5000/own/spark'\n");
        let project = loaded("", &short).unwrap();
        assert_eq!(
            project.images["job"].elsewhere.as_deref(),
            Some("r.example:5000/own/spark")
        );
        let chain = project.chain_of(&project.images["job"]).unwrap();
        assert_eq!(chain.elsewhere().unwrap().image, "r.example:5000/own/spark");
        let operator = format!("{IMAGE}operator.image = 'r.example/operator:1'\n");
        let project = loaded(&operator, JOB).unwrap();
        assert_eq!(project.images["operator"].elsewhere, image);
    }

    #[test]
    fn mistakes_are_told_with_both_lines() {
        let made = "[chains.main]\nspark = '4.1.4'\npython = '3.11'\n";
        let with = |line: &str| format!("{IMAGE}{line}\n");
        let beside = "and `image` at sparkpack.toml:5:9 says that it is `apache/spark:3.5.8-python3`, which is not made";
        for (chain, images, wanted) in [
            (with("root = 'debian:12'"), JOB.to_owned(), format!("6:8: `root` says how the chain's base is made, {beside}")),
            (with("spark-source = 'x'"), JOB.to_owned(), format!("6:16: `spark-source` says how the chain's base is made, {beside}")),
            (with("jars.base = ['x']"), JOB.to_owned(), format!("6:14: `jars.base` says how the chain's base is made, {beside}")),
            (with(""), format!("{JOB}[images.py]\ndockerfile = 'Dockerfile'\n"), format!("12:1: `py` is made here, {beside}")),
            (format!("{made}scala = '2.13'"), JOB.to_owned(), "7:9: `scala` tells what is in an `image` from elsewhere, and the chain names none".to_owned()),
            (format!("{made}supplied = ['spark']"), JOB.to_owned(), "7:12: `supplied` tells what is in an `image` from elsewhere, and the chain names none".to_owned()),
            (made.to_owned(), format!("{JOB}[images.ds]\nparent = 'x/y:1'\n"), "13:10: `x/y:1` would be below one image of the chain `main` only, whose others stand on another Spark".to_owned()),
            (with("supplied = ['java']"), JOB.to_owned(), "6:13: `java` is nothing that a platform can bring".to_owned()),
            (with("supplied = ['python']"), JOB.to_owned(), "6:13: the platform brings python, and nothing says which version: `python` is missing".to_owned()),
            (with("python = '3'"), JOB.to_owned(), "6:10: `3` is no version such as `3.11`".to_owned()),
            (with("spark-home = 'opt/spark'"), JOB.to_owned(), "6:14: `opt/spark` is no path of a folder in an image".to_owned()),
            (with("site-packages = ['/']"), JOB.to_owned(), "6:17: `/` is no path of a folder in an image".to_owned()),
            ("[chains.main]\nimage = 'Apache/Spark'\n".to_owned(), JOB.to_owned(), "5:9: ".to_owned()),
            ("[chains.main]\npython = '3.11'\n".to_owned(), JOB.to_owned(), "4:1: the key `spark` is missing".to_owned()),
            (String::new(), format!("{JOB}parent = 'x/Y:1'\n"), "9:10: ".to_owned()),
        ] {
            let told = loaded(&chain, &images).map_or_else(|defect| defect.to_string(), |_| String::new());
            let wanted = format!("sparkpack.toml:{wanted}");
            assert!(told.starts_with(&wanted), "{told}\n{wanted}");
        }
    }
}
