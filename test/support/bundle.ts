/**
 * A program of this repository as one file that any user can run, wherever the repository is.
 */
import { build } from "esbuild"
import { chmod } from "node:fs/promises"
import * as Path from "node:path"
import { loadAsset } from "../../assets.js"

/**
 * Bundles a TypeScript file with all that it imports, the texts of `?asset` included, and gives the path of the result.
 */
export const bundle = async (entry: string, folder: string): Promise<string> => {
  const outfile = Path.join(folder, `${Path.basename(entry, ".ts")}.cjs`)
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    external: ["dockerode"],
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "error",
    plugins: [{
      name: "assets",
      setup: (builder) => {
        builder.onResolve({ filter: /\?asset$/ }, ({ path, resolveDir }) => ({
          path: Path.resolve(resolveDir, path.slice(0, -"?asset".length)),
          namespace: "asset"
        }))
        builder.onLoad({ filter: /.*/, namespace: "asset" }, async ({ path }) => ({
          contents: (await loadAsset(path)).text,
          loader: "text"
        }))
      }
    }]
  })
  await chmod(outfile, 0o644)
  return outfile
}
