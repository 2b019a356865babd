/**
 * The build plugin for what runs inside a sandbox: `import source from "./agent.py?asset"` gives the text of the file.
 * A TypeScript file is bundled first, so that its text is one script which needs nothing beside it.
 * Used by tsdown and by vitest alike.
 */
import { build } from "esbuild"
import { readFile } from "node:fs/promises"
import * as Path from "node:path"

const suffix = "?asset"

const bundle = async (file: string) => {
  const result = await build({
    entryPoints: [file],
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    target: "node18",
    format: "cjs",
    minify: true,
    legalComments: "none",
    logLevel: "silent"
  })
  return {
    text: result.outputFiles.map((output) => output.text).join(""),
    inputs: Object.keys(result.metafile.inputs).map((input) => Path.resolve(input))
  }
}

/**
 * What a file is turned into: its text, and the files that this text was made from.
 */
export const loadAsset = async (
  file: string
): Promise<{ readonly text: string; readonly inputs: ReadonlyArray<string> }> =>
  file.endsWith(".ts") ? bundle(file) : { text: await readFile(file, "utf8"), inputs: [file] }

/**
 * The plugin. Each hook names what it is for, so that the bundlers do not ask it about every module.
 */
export const assets = () => ({
  name: "sandbox-sdk:assets",
  enforce: "pre" as const,
  resolveId: {
    filter: { id: /\?asset$/ },
    handler: (source: string, importer: string | undefined) =>
      importer === undefined ? null : Path.resolve(Path.dirname(importer), source)
  },
  load: {
    filter: { id: /\?asset$/ },
    async handler(this: { addWatchFile: (file: string) => void }, id: string) {
      const { inputs, text } = await loadAsset(id.slice(0, -suffix.length))
      for (const input of inputs) {
        this.addWatchFile(input)
      }
      return { code: `export default ${JSON.stringify(text)}`, map: null, moduleType: "js" as const }
    }
  }
})
