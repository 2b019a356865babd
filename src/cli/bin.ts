#!/usr/bin/env node
/**
 * `sandbox`: what starts before the program does. It loads nothing that is not needed.
 */
import * as Module from "node:module"
import manifest from "../../package.json" with { type: "json" }

// Since 22.1, Node keeps what it has compiled.
const { enableCompileCache }: Pick<typeof Module, "builtinModules"> & { readonly enableCompileCache?: () => unknown } =
  Module
enableCompileCache?.()

const [argument, ...others] = process.argv.slice(2)
if (argument === "--version" && others.length === 0) {
  process.stdout.write(`${manifest.version}\n`)
} else {
  // Not awaited: this file is also bundled as CommonJS, which has no await at its top.
  void import("./Program.js").then(({ main }) => main())
}
