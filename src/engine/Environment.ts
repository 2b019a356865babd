/**
 * What every sandbox has in its environment; the host's is never passed on.
 */
import * as Path from "node:path"
import { PROXY_PORT } from "../agent/Protocol.js"
import { WORKSPACE } from "../internal/paths.js"
import type { Network } from "../Options.js"
import { endpoints } from "./NetworkPolicy.js"

export { WORKSPACE }

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/** What a template has installed: where it is inside, and the version of Python that it was installed for, if any. */
export interface InstalledLayer {
  readonly path: string
  readonly pythonVersion: string | undefined
}

/** Where pip puts the packages of a user (https://docs.python.org/3/library/site.html), and npm those of a folder. */
const packagesOf = ({ path, pythonVersion }: InstalledLayer): Readonly<Record<string, string>> => ({
  TEMPLATE_DIR: path,
  NODE_PATH: `${path}/node_modules`,
  ...(pythonVersion === undefined
    ? {}
    : { PYTHONPATH: `${path}/lib/python${pythonVersion.split(".").slice(0, 2).join(".")}/site-packages` })
})

/**
 * The environment, with the folder of this Node first on the search path, unless it is found there anyway. Programs that
 * the user has installed (`pip install --user`) come before all others, then those of the template. `variables` are those
 * that the image sets.
 */
export const environmentWith = (
  node: string | undefined,
  variables: Readonly<Record<string, string>> = {},
  layer?: InstalledLayer
): Readonly<Record<string, string>> => {
  const searchPath = variables["PATH"] ?? systemPath
  const folder = node === undefined ? undefined : Path.posix.dirname(node)
  const found = folder === undefined || searchPath.split(":").includes(folder) ? [] : [folder]
  const installed = layer === undefined ? [] : [`${layer.path}/bin`, `${layer.path}/node_modules/.bin`]
  return {
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
    TERM: "dumb",
    ...variables,
    ...(layer === undefined ? {} : packagesOf(layer)),
    PATH: [`${WORKSPACE}/.local/bin`, ...installed, ...found, searchPath].join(":"),
    HOME: WORKSPACE,
    USER: "user",
    LOGNAME: "user"
  }
}

/**
 * What leads programs to the proxy of a sandbox that has a network of named hosts: the variables that curl, git, pip,
 * npm, Python's urllib and many others go by. Node does so from 22.21 and 24.5 on, when it is told to; for those before,
 * `proxy.cjs` does the same.
 *
 * An address of the sandbox itself is not asked of the proxy, unless it is allowed by this very address: then the one of
 * this machine is meant, and `localhost` is still the sandbox.
 */
export const proxyEnvironment = (network: Network | undefined): Readonly<Record<string, string>> => {
  const allowed = new Set(endpoints(network).map(({ host }) => host))
  const proxy = `http://127.0.0.1:${PROXY_PORT}`
  const direct = ["localhost", "127.0.0.1", "::1"].filter((host) => host === "localhost" || !allowed.has(host)).join()
  const variables = { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, ALL_PROXY: proxy, NO_PROXY: direct }
  return {
    ...variables,
    ...Object.fromEntries(Object.entries(variables).map(([name, value]) => [name.toLowerCase(), value])),
    NODE_USE_ENV_PROXY: "1",
    NODE_OPTIONS: "--require=/opt/sandbox/proxy.cjs"
  }
}
