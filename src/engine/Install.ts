/**
 * What a build runs: the commands that install what a template asks for into its layer, and their environment.
 */
import type { EnvVars } from "../Options.js"
import type { TemplateConfig } from "../Template.js"

/**
 * A command of a build. `field` is the part of the template's configuration that it comes from.
 */
export interface Step {
  readonly field: "dependencies" | "installCommand"
  readonly command: string
}

/** One word of a shell, whatever is in it (POSIX.1-2017, Shell Command Language, 2.2.2). */
const word = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`

const words = (...texts: ReadonlyArray<string>): string => texts.map(word).join(" ")

/** The command that installs packages. `--` ends the options of both: what follows is never one. */
const install = ({ dependencies = [], language }: TemplateConfig, python: string, layer: string): string =>
  language === "python"
    ? words(python, "-m", "pip", "install", "--user", "--", ...dependencies)
    : words("npm", "install", "--prefix", layer, "--", ...dependencies)

/**
 * The commands, in order; none when the template installs nothing.
 *
 * @param python the interpreter, as seen from inside
 * @param layer where the layer is inside
 */
export const stepsOf = (config: TemplateConfig, python: string, layer: string): ReadonlyArray<Step> => [
  ...((config.dependencies ?? []).length === 0
    ? []
    : [{ field: "dependencies" as const, command: install(config, python, layer) }]),
  ...(config.installCommand === undefined
    ? []
    : [{ field: "installCommand" as const, command: config.installCommand }])
]

/** Where programs of a build put files for the time being: on its disk, which has more room than `/tmp`. */
export const TEMPORARY = ".tmp"

/**
 * The environment of a build: `pip install` and `npm install -g` install into the layer. Nothing asks, and nothing is
 * remembered beside.
 *
 * @param isolated whether the packages of the machine are out of reach anyway
 */
export const buildEnvironment = (layer: string, isolated: boolean): EnvVars => ({
  PYTHONUSERBASE: layer,
  // The machine's own packages cannot be broken: they are read-only.
  PIP_BREAK_SYSTEM_PACKAGES: "1",
  ...(isolated ? {} : { PIP_USER: "1" }),
  PIP_NO_INPUT: "1",
  PIP_NO_CACHE_DIR: "1",
  PIP_DISABLE_PIP_VERSION_CHECK: "1",
  PIP_PROGRESS_BAR: "off",
  PIP_NO_WARN_SCRIPT_LOCATION: "1",
  npm_config_prefix: layer,
  npm_config_audit: "false",
  npm_config_fund: "false",
  npm_config_progress: "false",
  npm_config_update_notifier: "false",
  TMPDIR: `${layer}/${TEMPORARY}`
})

/** What complains of a network that is not there, or lets a host not be reached: pip, npm, curl, the proxy. */
const NO_NETWORK = new RegExp(
  [
    "Tunnel connection failed",
    "tunneling socket could not be established",
    "not in network\\.allow",
    "lets no sandbox reach",
    "name resolution",
    "Could not resolve host",
    "Network is unreachable",
    "EAI_AGAIN",
    "ENOTFOUND"
  ].join("|"),
  "i"
)

/**
 * What would help, when the log tells that the package manager itself is missing, or the network.
 */
export const hintOf = (log: string): string | undefined =>
  /No module named pip\b/.test(log)
    ? "This machine has no pip for that Python (Debian: apt-get install python3-pip)."
    : /npm: (?:command )?not found/.test(log)
    ? "This machine has no npm that sandboxes can use (Debian: apt-get install npm)."
    : NO_NETWORK.test(log)
    ? "A build reaches only what the engine lets it: its options `buildNetwork` and `network` of layerLocal."
    : undefined
