/**
 * The packages that a template asks for: what may be handed to pip and npm.
 *
 * Each is one argument behind `--`, so that none can be an option. What else a package manager would take (paths, other
 * protocols, whole command lines) is refused, so that a list of packages is a list of packages.
 */
import * as Effect from "effect/Effect"
import type { Language } from "../CodeContext.js"
import { SandboxSDKError } from "../Errors.js"
import type { TemplateConfig } from "../Template.js"
import { invalidArgument, quote } from "./issue.js"

const MAX_PACKAGES = 500

const MAX_LENGTH = 512

const URL = "https?://[\\x21-\\x7e]+"

/** PEP 508: a name, extras, versions (PEP 440) or a URL, and a marker. */
const PYTHON = (() => {
  const name = "[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
  const extras = "(?: ?\\[ ?[A-Za-z0-9._-]+(?: ?, ?[A-Za-z0-9._-]+)* ?\\])?"
  const version = "(?:===|==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
  const value = "(?:[a-z_]+|'[A-Za-z0-9._ -]*'|\"[A-Za-z0-9._ -]*\")"
  const comparison = `\\(?${value} ?(?:===|==|~=|!=|<=|>=|<|>| in | not in ) ?${value}\\)?`
  const marker = `(?: ?; ?${comparison}(?: (?:and|or) ${comparison})*)?`
  return new RegExp(`^${name}${extras}(?: ?${version}(?: ?, ?${version})*| ?@ ?${URL})?${marker}$`)
})()

/** The names of npm, with a range of versions (node-semver), a tag, an alias or a URL behind `@`; or a URL alone. */
const NPM = (() => {
  const part = "[a-z0-9][a-z0-9._~-]*"
  const name = `(?:@${part}/)?${part}`
  const range = "[A-Za-z0-9^~<>=*][A-Za-z0-9.^~<>=|*+ -]*"
  return new RegExp(`^(?:${name}(?:@(?:${range}|npm:${name}(?:@${range})?|${URL}))?|${URL})$`, "i")
})()

interface Manager {
  readonly pattern: RegExp
  readonly wanted: string
}

const pip: Manager = {
  pattern: PYTHON,
  wanted: "a package as pip takes it (\"numpy\", \"requests>=2.31,<3\", \"uvicorn[standard]==0.30\")"
}

const npm: Manager = {
  pattern: NPM,
  wanted: "a package as npm takes it (\"lodash\", \"@types/node@20\", \"left-pad@^1.3.0\")"
}

const managers: Readonly<Record<Language, Manager | undefined>> = {
  python: pip,
  javascript: npm,
  typescript: npm,
  bash: undefined
}

/**
 * Whether this is one package of the language, and nothing else.
 */
export const isPackage = (language: Language, text: string): boolean =>
  text.length <= MAX_LENGTH && managers[language]?.pattern.test(text) === true

/**
 * Checks the packages of a template. Fails with `invalid_argument`, whose `field` names the package
 * (`dependencies.1`), and with `unsupported` for a language that has none.
 */
export const checkDependencies = (
  { dependencies = [], language }: TemplateConfig
): Effect.Effect<void, SandboxSDKError> => {
  const manager = managers[language]
  if (dependencies.length === 0) {
    return Effect.void
  }
  if (manager === undefined) {
    return Effect.fail(
      new SandboxSDKError({
        code: "unsupported",
        field: "dependencies",
        message: "createTemplate: dependencies cannot be installed for bash: packages of the system (apt) belong " +
          "to the machine, and nothing in a sandbox can change it. Install them on the machine, or have " +
          "installCommand put programs into $TEMPLATE_DIR/bin."
      })
    )
  }
  if (dependencies.length > MAX_PACKAGES) {
    const problem = `dependencies may have ${MAX_PACKAGES} packages, but has ${dependencies.length}.`
    return Effect.fail(invalidArgument("createTemplate", "dependencies", problem))
  }
  const index = dependencies.findIndex((text) => !isPackage(language, text))
  const field = `dependencies.${index}`
  return index < 0 ? Effect.void : Effect.fail(
    invalidArgument(
      "createTemplate",
      field,
      `${field} must be ${manager.wanted}, but it is ${
        quote(dependencies[index])
      }. Options and other commands belong ` +
        "into installCommand."
    )
  )
}
