//! The command line: one file per subcommand.
//!
//! In: arguments and environment. Out: results on standard output, logs on standard error, an [`ExitCode`].
//! A command that does not exist yet is not declared. Failure: a wrong command line is 64, a configuration
//! that does not hold is 78 with every problem listed; neither starts anything.

mod agent;
mod check;
mod cloud;
mod completions;
mod exit;
mod findings;
mod keys;
mod load;
mod normalize;
mod object_status;
mod output;
mod run;
mod schema;
mod status;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::telemetry::{self, LogFormat};

pub use exit::ExitCode;
pub use output::Output;

/// Hauls CloudTrail logs from every account of an AWS organization into one place, and proves that nothing
/// was lost, added or changed on the way.
#[derive(Debug, Parser)]
#[command(name = "trailhaul", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 good; 1 an integrity finding; 64 usage; 69 something outside could not \
                        be reached; 70 internal error; 78 configuration."
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
pub struct Global {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "TRAILHAUL_CONFIG",
        hide_env_values = true,
        default_value = "/etc/trailhaul/trailhaul.yaml"
    )]
    pub config: PathBuf,
    /// The form of results on standard output.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = OutputForm::Text)]
    pub output: OutputForm,
    /// The form of logs on standard error.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogForm::Text)]
    pub log_format: LogForm,
    /// What is logged: a level, or directives such as info,trailhaul::tail=debug.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "TRAILHAUL_LOG",
        hide_env_values = true,
        default_value = "info"
    )]
    pub log_level: String,
}

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The form of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line per event, in colour on a terminal.
    Text,
    /// A JSON object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Status(status::Args),
    Findings(findings::Args),
    Normalize(Box<normalize::Args>),
    Verify(Box<verify::Args>),
    Keys(keys::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

/// Runs the program with these arguments (the first is its name).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive here too, and are good.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Good };
            return if error.print().is_ok() { code } else { ExitCode::Internal };
        }
    };
    let mut output = Output::standard(cli.global.output);
    let format = match cli.global.log_format {
        LogForm::Text => LogFormat::Text,
        LogForm::Json => LogFormat::Json,
    };
    if let Err(error) = telemetry::install(format, &cli.global.log_level) {
        output.trouble(&format!("--log-level: {error}"));
        return ExitCode::Usage;
    }
    let code = match &cli.command {
        Command::Run(args) => run::run(args, &cli.global, &mut output),
        Command::Status(args) => status::run(args, &cli.global, &mut output),
        Command::Findings(args) => findings::run(args, &cli.global, &mut output),
        Command::Check(args) => check::run(args, &cli.global, &mut output),
        Command::Normalize(args) => normalize::run(args, &cli.global, &mut output),
        Command::Verify(args) => verify::run(args, &cli.global, &mut output),
        Command::Keys(args) => keys::run(args, &cli.global, &mut output),
        Command::Schema(args) => schema::run(args, &mut output),
        Command::Completions(args) => completions::run(args, &mut output),
    };
    code.max(output.finish())
}
