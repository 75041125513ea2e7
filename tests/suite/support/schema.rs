//! The JSON schemas in `docs`, according to a validator.

use serde_json::{Value, json};

use super::program;

/// A schema, by its file name.
pub(crate) struct Schema(pub(crate) &'static str);

impl Schema {
    fn path(&self) -> String {
        format!("{}/docs/{}", env!("CARGO_MANIFEST_DIR"), self.0)
    }

    /// The errors that the validator finds in each document.
    pub(crate) fn mistakes(&self, documents: &[Value]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("documents.json");
        fs_err::write(&file, serde_json::to_vec(documents).unwrap()).unwrap();
        let script = "
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
documents = json.load(open(sys.argv[2]))
print(json.dumps([[error.message for error in validator.iter_errors(document)] for document in documents]))
";
        let answer = program(
            "python3",
            &["-c", script, self.path().as_str(), file.to_str().unwrap()],
        );
        serde_json::from_str(&answer).unwrap()
    }

    /// The spoiled documents in which the validator finds no error, by what was spoiled.
    pub(crate) fn taken<'w>(&self, wrong: &'w [(String, Value)]) -> Vec<&'w str> {
        let documents: Vec<Value> = wrong.iter().map(|(_, copy)| copy.clone()).collect();
        let found = self.mistakes(&documents);
        assert_eq!(found.len(), wrong.len());
        let taken = wrong.iter().zip(&found);
        taken
            .filter(|(_, errors)| errors.is_empty())
            .map(|((what, _), _)| what.as_str())
            .collect()
    }

    /// The keys without a description.
    pub(crate) fn silent_keys(&self) -> Vec<String> {
        let schema: Value =
            serde_json::from_str(&fs_err::read_to_string(self.path()).unwrap()).unwrap();
        let mut silent = Vec::new();
        walk("", &schema, &mut silent);
        silent
    }
}

fn walk(at: &str, value: &Value, silent: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        return;
    };
    if let Some(properties) = object.get("properties").and_then(Value::as_object) {
        for (key, property) in properties {
            if !property["description"].is_string() {
                silent.push(format!("{at}.{key}"));
            }
        }
    }
    let is_condition = |key: &str| matches!(key, "oneOf" | "if" | "then" | "else");
    for (key, child) in object.iter().filter(|(key, _)| !is_condition(key)) {
        walk(&format!("{at}.{key}"), child, silent);
    }
}

/// Every way to spoil a valid document: a missing key, an unknown key, a value of another type.
pub(crate) fn spoiled(document: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut pointers = vec![String::new()];
    while let Some(pointer) = pointers.pop() {
        let here = document.pointer(&pointer).unwrap();
        let mut spoil = |what: String, change: &dyn Fn(&mut Value)| {
            let mut copy = document.clone();
            change(copy.pointer_mut(&pointer).unwrap());
            all.push((format!("{pointer}: {what}"), copy));
        };
        spoil("a number with a fraction".to_owned(), &|value| {
            *value = json!(1.5);
        });
        if let Some(object) = here.as_object() {
            spoil("an unknown key".to_owned(), &|value| {
                value["digset"] = json!("x");
            });
            for key in object.keys() {
                spoil(format!("without {key}"), &|value| {
                    value.as_object_mut().unwrap().remove(key);
                });
                pointers.push(format!("{pointer}/{key}"));
            }
        }
        if let Some(items) = here.as_array() {
            pointers.extend((0..items.len()).map(|index| format!("{pointer}/{index}")));
        }
    }
    all
}
