//! `sparkpack new`: makes the files of a new project.

use std::path::Path;

use crate::{
    cli::{CiName, LayoutName, NewArguments, OperatorName},
    error::Error,
    operations::scaffold::{Ci, Layout, NewProject, SparkOperator, scaffold},
    ui::Ui,
};

pub(super) fn run(
    directory: Option<&Path>,
    ui: &Ui,
    arguments: &NewArguments,
) -> Result<(), Error> {
    let folder = directory.map_or_else(
        || arguments.name.clone(),
        |directory| directory.join(&arguments.name),
    );
    let project = NewProject {
        folder: &folder,
        operator: match arguments.operator {
            OperatorName::Kubeflow => SparkOperator::Kubeflow,
            OperatorName::Apache => SparkOperator::Apache,
            OperatorName::Stackable => SparkOperator::Stackable,
        },
        with_operator: arguments.with_operator,
        ci: match arguments.ci {
            CiName::Github => Ci::Github,
            CiName::Gitlab => Ci::Gitlab,
        },
        layout: match arguments.layout {
            LayoutName::Jobs => Layout::Jobs,
            LayoutName::Package => Layout::Package,
        },
    };
    let files = scaffold(&project)?;
    let shown = folder.display();
    for file in &files {
        ui.data(format!("{shown}/{file}"))?;
    }
    ui.say(format!(
        "a project of {} files is in {shown}; README.md there says how to go on. Its first job:\n  cd {shown}\n  git init -b main && git add --all\n  sparkpack run revenue",
        files.len()
    ));
    Ok(())
}
