/**
 * What `sandbox` alone prints: the commands, one a line, which is shorter than what is made of their options.
 */
import * as Output from "./Output.js"

const commands = [
  ["run FILE|-", "Run a file in a new sandbox, its output as it is written"],
  ["shell [ID]", "Run commands in a sandbox line by line"],
  ["serve", "Serve the sandboxes of this machine over HTTP"],
  ["ls", "List the sandboxes of a server"],
  ["cp SRC DST", "Copy files and directories from and to a sandbox of a server"],
  ["rm ID…", "Delete sandboxes of a server"],
  ["templates", "List what sandboxes can be made from; build, builds, rm: those of one's own"],
  ["snapshots", "List the snapshots of a server's sandboxes; create, rm"],
  ["doctor", "Probe what isolates sandboxes on this machine; print what to install"]
] as const

const statuses = [
  ["0", "It is done."],
  ["1", "The code raised an error, or what was asked for cannot be done. run and shell pass on"],
  ["", "the code's own status."],
  ["64", "The arguments or the settings are wrong."],
  ["66, 73", "A file cannot be read, cannot be written."],
  ["69, 75", "There is no server, no isolation or no interpreter; too many requests."],
  ["70", "The sandbox failed."],
  ["77", "The API key is missing or wrong."],
  ["124", "The code ran into its limit of time."],
  ["128 + n", "Signal n ended this program: 130 is Ctrl-C."]
] as const

const variables = [
  ["SANDBOX_API_KEY", "The key to the server; of serve, the key that it asks for."],
  ["SANDBOX_SERVER_URL", "The server of ls, cp, rm and shell ID where --server does not name one."],
  ["NO_COLOR", "No colours on a terminal."]
] as const

const columns = (rows: ReadonlyArray<readonly [string, string]>): string => {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`).join("\n")
}

/**
 * The text.
 */
export const overview = (version: string): string => {
  const heading = (text: string) => Output.hasColours("stdout") ? `\u001b[1m${text}\u001b[0m` : text
  return [
    `Sandbox SDK ${version}: runs untrusted code in isolated sandboxes.`,
    `${heading("Usage")}\n  sandbox COMMAND [OPTIONS]\n  sandbox COMMAND --help`,
    `${heading("Commands")}\n${columns(commands)}`,
    `${heading("Options")}\n${
      columns([
        ["--help, -h", "This text, or that of a command"],
        ["--version", "The version"],
        ["--completions SHELL", "A completion script for bash, fish, zsh or sh"],
        ["--log-level LEVEL", "What is logged to standard error; by default warning"]
      ])
    }`,
    `${heading("Exit status")}\n${columns(statuses)}`,
    `${heading("Environment")}\n${columns(variables)}`
  ].join("\n\n")
}
