//! The real programs, run as children: `simorg` makes trees, `trailhaul` hauls them.
//!
//! In: the folder of the built programs, and a folder to work in. Out: trees, configurations, and what a run
//! took. Failure: an exit code other than 0 is an error with what the program said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Where the programs are.
pub(crate) struct Programs(pub(crate) PathBuf);

/// A simulated tree.
pub(crate) struct Tree {
    pub(crate) folder: PathBuf,
    /// What `simorg` said about it.
    pub(crate) about: String,
}

impl Programs {
    /// The tree in `folder`, made by `simorg` with these arguments unless the same one is there already.
    pub(crate) fn tree(&self, folder: &Path, arguments: &str) -> anyhow::Result<Tree> {
        let mark = folder.join("made-by");
        if let Ok(text) = fs::read_to_string(&mark)
            && let Some((made, about)) = text.split_once('\n')
            && made == arguments
        {
            return Ok(Tree { folder: folder.to_owned(), about: about.to_owned() });
        }
        remove(folder)?;
        let output = Command::new(self.0.join("simorg"))
            .args(arguments.split(' '))
            .arg("--out")
            .arg(folder)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("run simorg from {}: is it built?", self.0.display()))?;
        ensure!(output.status.success(), "simorg {arguments}: {}", output.status);
        let about = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        fs::write(mark, format!("{arguments}\n{about}"))?;
        Ok(Tree { folder: folder.canonicalize()?, about })
    }

    /// `trailhaul run --once` with this configuration, not started yet. It logs errors only.
    pub(crate) fn haul(&self, config: &Path) -> Command {
        let mut command = Command::new(self.0.join("trailhaul"));
        command.args(["--log-level", "error", "--output", "json", "--config"]).arg(config);
        command.args(["run", "--once"]).stdin(Stdio::null());
        command
    }
}

/// One configuration that hauls all these trees into `folder`, with `more` appended. Begins anew: what an
/// earlier run left in `folder` is removed.
pub(crate) fn configure(folder: &Path, trees: &[Tree], more: &str) -> anyhow::Result<PathBuf> {
    remove(folder)?;
    fs::create_dir_all(folder)?;
    let (mut accounts, mut trails, mut organization) = (Vec::new(), String::new(), String::new());
    for (number, tree) in trees.iter().enumerate() {
        let text = fs::read_to_string(tree.folder.join("trailhaul.yaml"))?;
        let (head, rest) = text.split_once("trails:\n").context("a configuration without trails")?;
        for line in head.lines() {
            match line.trim().strip_prefix("- ") {
                Some(account) if !accounts.contains(&account.to_owned()) => accounts.push(account.to_owned()),
                Some(_) => {}
                None if line.trim().starts_with("id:") => organization = line.trim().to_owned(),
                None => {}
            }
        }
        for line in rest.lines().take_while(|line| line.starts_with(' ')) {
            let suffix = if line.contains("- name:") { format!("-{number}") } else { String::new() };
            trails.push_str(&format!("{line}{suffix}\n"));
        }
    }
    let path = folder.join("trailhaul.yaml");
    let root = folder.canonicalize()?;
    let config = format!(
        "organization: {{{organization}, accounts: [{}]}}\ntrails:\n{trails}start: beginning\n\
         integrity: {{mode: off}}\nstate: {{path: {root}/state}}\nadmin: {{listen: off}}\n\
         sinks:\n  archive: {{type: archive, bucket: \"file://{root}/archive\"}}\n{more}",
        accounts.join(", "),
        root = root.display(),
    );
    fs::write(&path, config)?;
    Ok(path)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
