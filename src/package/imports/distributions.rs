//! Well-known distributions and the modules that they bring: for the name of what has to be required, and for what is in
//! an image whose files nobody here has seen.

use std::{collections::HashMap, sync::LazyLock};

use crate::project::wheel::normalise;

const TABLE: &str = include_str!("distributions.txt");

/// The modules by distribution.
static MODULES: LazyLock<HashMap<String, Vec<&str>>> = LazyLock::new(|| {
    let lines = lines();
    lines
        .map(|(distribution, modules)| (normalise(distribution), modules.collect()))
        .collect()
});

/// The distributions by module.
static DISTRIBUTIONS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let mut found = HashMap::new();
    for (distribution, modules) in lines() {
        for module in modules {
            found.entry(module).or_insert(distribution);
        }
    }
    found
});

fn lines() -> impl Iterator<Item = (&'static str, std::str::SplitWhitespace<'static>)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words))
    })
}

/// The distribution that has a module, by its name or that of a package that it is in.
#[must_use]
pub fn distribution_of(module: &str) -> Option<&'static str> {
    let mut name = module;
    loop {
        if let Some(distribution) = DISTRIBUTIONS.get(name) {
            return Some(distribution);
        }
        name = name.rsplit_once('.')?.0;
    }
}

/// The modules that a distribution brings, all of them; `None` if it is not known here. The name is in its normal form.
#[must_use]
pub fn modules_of(distribution: &str) -> Option<&'static [&'static str]> {
    MODULES.get(distribution).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_a_distribution_and_a_distribution_its_modules() {
        for (module, wanted) in [
            ("yaml", Some("PyYAML")),
            ("yaml.constructor", Some("PyYAML")),
            ("cv2", Some("opencv-python")),
            ("google.cloud.storage", Some("google-cloud-storage")),
            ("google.cloud.bigquery.table", Some("google-cloud-bigquery")),
            ("google.cloud", None),
            ("google", None),
            ("nothing", None),
        ] {
            assert_eq!(distribution_of(module), wanted, "{module}");
        }
        assert_eq!(modules_of("python-dateutil"), Some(&["dateutil"][..]));
        assert!(modules_of("pyyaml").unwrap().contains(&"yaml"));
        assert_eq!(modules_of("nothing"), None);
    }

    #[test]
    fn every_line_of_the_table_is_one_distribution() {
        let mut count = 0;
        for (distribution, modules) in lines() {
            count += 1;
            assert!(modules.count() > 0, "{distribution}");
        }
        assert_eq!(MODULES.len(), count, "a distribution stands twice");
    }
}
