/**
 * Which language code is in.
 */
import * as Options from "@effect/cli/Options"
import type { Language } from "../CodeContext.js"

const extensions: Readonly<Record<string, Language>> = {
  ".py": "python",
  ".js": "javascript",
  ".mjs": "javascript",
  ".cjs": "javascript",
  ".ts": "typescript",
  ".mts": "typescript",
  ".sh": "bash",
  ".bash": "bash"
}

/**
 * The language of a file by its name.
 */
export const ofFile = (path: string): Language | undefined =>
  extensions[/\.[^./]*$/.exec(path)?.[0].toLowerCase() ?? ""]

/**
 * The names that `--language` takes.
 */
export const option = Options.choice<Language, ReadonlyArray<Language>>("language", [
  "python",
  "javascript",
  "typescript",
  "bash"
])
