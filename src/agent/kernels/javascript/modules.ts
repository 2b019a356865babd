/**
 * `import`, `require` and `import.meta` of cells, resolved from the current directory.
 */
import * as nodeModule from "node:module"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as vm from "node:vm"
import { installReadline } from "./input.js"

const { apply } = Reflect

type Import = (specifier: unknown, options?: unknown) => Promise<object>

const { createRequire } = nodeModule
const startDirectory = process.cwd()

/** The current directory; where the interpreter started if it has been deleted. */
const directory = (): string => {
  try {
    return process.cwd()
  } catch {
    return startDirectory
  }
}

const moduleFile = (): string => path.join(directory(), "cell.js")

const memoize = <A>(make: (file: string) => A): () => A => {
  let last: { readonly file: string; readonly value: A } | undefined
  return () => {
    const file = moduleFile()
    if (last?.file !== file) {
      last = { file, value: make(file) }
    }
    return last.value
  }
}

/** Node 20 and 22 warn that the loader is experimental, which is nothing that users could do about. */
const quietly = <A>(body: () => A): A => {
  const emitWarning = process.emitWarning
  process.emitWarning = (...args: ReadonlyArray<unknown>): void => {
    if (!String(args[0]).includes("USE_MAIN_CONTEXT_DEFAULT_LOADER")) {
      apply(emitWarning, process, args)
    }
  }
  try {
    return body()
  } finally {
    process.emitWarning = emitWarning
  }
}

const isImport = (value: unknown): value is Import => typeof value === "function"

/** An `import` that resolves from a file. */
const importFrom = (file: string): Import => {
  const loader = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER
  if (loader !== undefined) {
    const made: unknown = new vm.Script("(specifier, options) => import(specifier, options)", {
      filename: file,
      importModuleDynamically: loader
    }).runInThisContext()
    if (isImport(made)) {
      return (specifier, options) => quietly(() => made(specifier, options))
    }
  }
  // Node before 20.12: resolve by the rules of require, then import the file.
  const require = createRequire(file)
  return async (specifier) => {
    const name = String(specifier)
    if (name.endsWith(".json")) {
      return { default: require(name) }
    }
    const relative = /^\.{1,2}\//.test(name) ? new URL(name, pathToFileURL(file)).href : name
    const target = nodeModule.isBuiltin(name) || /^[a-z][a-z+.-]*:/i.test(relative)
      ? relative
      : pathToFileURL(require.resolve(name)).href
    return await import(target)
  }
}

export interface Modules {
  /** `import(specifier, options)`. */
  readonly import: Import
  /** What an import declaration does: the module, which must have the names. */
  readonly bind: (
    specifier: string,
    attributes?: Readonly<Record<string, string>>,
    names?: ReadonlyArray<string>
  ) => Promise<object>
  readonly meta: object
  readonly require: NodeJS.Require
}

export const makeModules = (): Modules => {
  const currentImport = memoize(importFrom)
  const currentRequire = memoize(createRequire)
  const prepare = (specifier: unknown): void => {
    if (
      specifier === "readline" || specifier === "node:readline" || specifier === "readline/promises" ||
      specifier === "node:readline/promises"
    ) {
      installReadline()
    }
  }
  const importModule: Import = async (specifier, options) => {
    prepare(specifier)
    return await currentImport()(specifier, options)
  }
  const require = Object.assign((id: string): unknown => {
    prepare(id)
    return currentRequire()(id)
  }, {
    resolve: Object.assign(
      (request: string, options?: NodeJS.RequireResolveOptions) => currentRequire().resolve(request, options),
      { paths: (request: string) => currentRequire().resolve.paths(request) }
    ),
    cache: currentRequire().cache,
    extensions: currentRequire().extensions,
    main: undefined
  })
  const meta = {
    get url(): string {
      return pathToFileURL(moduleFile()).href
    },
    get filename(): string {
      return moduleFile()
    },
    get dirname(): string {
      return directory()
    },
    resolve: (specifier: string): string => {
      if (/^\.{0,2}\//.test(specifier)) {
        return new URL(specifier, pathToFileURL(moduleFile())).href
      }
      const resolved = currentRequire().resolve(specifier)
      return path.isAbsolute(resolved) ? pathToFileURL(resolved).href : `node:${resolved.replace(/^node:/, "")}`
    }
  }
  return {
    import: importModule,
    bind: async (specifier, attributes, names = []) => {
      const module = await importModule(specifier, attributes === undefined ? undefined : { with: attributes })
      for (const name of names) {
        if (!(name in module)) {
          throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`)
        }
      }
      return module
    },
    meta,
    require
  }
}
