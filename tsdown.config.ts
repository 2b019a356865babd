import { defineConfig, type UserConfig } from "tsdown"
import { assets } from "./assets.js"
import { unusedSchemas } from "./unusedSchemas.js"

const common = {
  outDir: "dist",
  // `npm run build` empties the folder first: these builds write to it side by side.
  clean: false,
  fixedExtension: false,
  treeshake: true,
  dts: false,
  publint: false,
  attw: false,
  report: false,
  checks: { legacyCjs: false, pluginTimings: false },
  plugins: [assets()]
} satisfies UserConfig

const formats: Array<"esm" | "cjs"> = ["esm", "cjs"]

/** Effect's documentation would be half of a bundle. */
const withoutDocs = { legal: true, annotation: true, jsdoc: false }

/**
 * What is read at each start is as short as can be, and functions and classes have the names that a stack shows. It is one
 * file, by groups of `codeSplitting`: each costs a millisecond.
 */
const short = { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } }

/** The CommonJS half of a build for declarations leaves scripts behind that nothing imports. */
const declarationsOnly = {
  name: "sandbox-sdk:declarations-only",
  generateBundle(_: unknown, bundle: Record<string, unknown>) {
    for (const file of Object.keys(bundle)) {
      if (!/\.d\.c?ts$/.test(file)) {
        delete bundle[file]
      }
    }
  }
}

export default defineConfig([
  {
    ...common,
    name: "core",
    entry: {
      index: "src/index.ts",
      local: "src/local.ts",
      e2b: "src/e2b.ts",
      server: "src/server.ts",
      telemetry: "src/Telemetry.ts"
    },
    format: formats,
    platform: "node",
    target: "node20",
    sourcemap: true
  },
  {
    // With Effect inside: a plain TypeScript caller imports one file in place of several hundred. The engine is loaded
    // by `SandboxSDK.local()` alone, as chunks of this same build, so that there is one Effect in it.
    ...common,
    name: "promise",
    entry: { promise: "src/promise.ts", "promise/elsewhere": "src/internal/localElsewhere.ts" },
    format: formats,
    platform: "neutral",
    target: "node20",
    inputOptions: { resolve: { mainFields: ["module", "main"], conditionNames: ["import", "default"] } },
    plugins: [assets(), unusedSchemas()],
    outputOptions: (options, format) => ({
      ...options,
      comments: withoutDocs,
      minify: short,
      codeSplitting: { groups: [{ name: "core", test: /[\\/]src[\\/]internal[\\/]promise(?:Client|Remote)\.ts$/ }] },
      chunkFileNames: (chunk) => {
        // package.json names the engine, to put `elsewhere` in its place in a bundle for a browser.
        const name = chunk.isDynamicEntry && /^local(?:Directories)?$/.test(chunk.name) ? "[name]" : "[name]-[hash]"
        return `promise/${name}.${format === "cjs" ? "cjs" : "js"}`
      }
    }),
    deps: { alwaysBundle: [/^effect(\/|$)/, /^@effect\//], neverBundle: [/^node:/, "dockerode"], onlyBundle: false }
  },
  {
    // The declarations of all entries in one build: they share each type, whichever entry it is imported from.
    ...common,
    name: "types",
    entry: {
      index: "src/index.ts",
      local: "src/local.ts",
      e2b: "src/e2b.ts",
      promise: "src/promise.ts",
      server: "src/server.ts",
      telemetry: "src/Telemetry.ts"
    },
    format: formats,
    platform: "node",
    target: "node20",
    dts: { emitDtsOnly: true },
    plugins: [assets(), declarationsOnly]
  },
  {
    ...common,
    name: "cli",
    entry: { sandbox: "src/cli/bin.ts" },
    format: "esm",
    platform: "node",
    target: "node20",
    outDir: "dist/cli",
    plugins: [assets(), unusedSchemas()],
    outputOptions: {
      comments: withoutDocs,
      minify: short,
      codeSplitting: {
        groups: [
          // What `bin.ts` reads before it knows whether it needs the program.
          { name: "manifest", test: /[\\/]package\.json$/, priority: 1 },
          { name: "Program", test: /[\\/]src[\\/]cli[\\/]Program\.ts$/ }
        ]
      }
    },
    // All but the client of Docker: it is an optional dependency, larger than everything else together.
    deps: { alwaysBundle: [/^(?!dockerode$).*/], neverBundle: [/^node:/, "dockerode"], onlyBundle: false }
  }
])
