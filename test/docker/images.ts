/**
 * The images that the tests run in, made of what is installed on this machine: there is nothing to pull.
 */
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

/**
 * By name, what is in each. Docker and Podman both know them by these names.
 */
export const IMAGES = {
  /** Debian with Python and the packages that the conformance suite shows, Node, bash, curl. */
  full: "localhost/sandbox-sdk-test:full",
  /** Debian with bash and Node, and without Python. */
  node: "localhost/sandbox-sdk-test:node",
  /** busybox and nothing else: no C library, no interpreter but sh. */
  busybox: "localhost/sandbox-sdk-test:busybox",
  /** For a machine that this is not. */
  foreign: "localhost/sandbox-sdk-test:foreign"
} as const

const BASE = [
  "bash",
  "coreutils",
  "dash",
  "findutils",
  "grep",
  "sed",
  "gawk",
  "mawk",
  "libc-bin",
  "procps",
  "util-linux",
  "passwd",
  "login",
  "mount",
  "tar",
  "gzip",
  "xz-utils",
  "bzip2",
  "hostname",
  "diffutils",
  "perl-base",
  "libstdc++6",
  "tzdata",
  "ca-certificates",
  "netbase",
  "base-passwd",
  "base-files"
]

const PYTHON = ["python3", "python3-pandas", "python3-matplotlib", "python3-pil", "curl"]

/** However slow the machine: what takes longer does not come to an end. */
const STEP_MS = 300_000

const output = (command: string, args: ReadonlyArray<string>): string =>
  execFileSync(command, args, {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: STEP_MS
  })

/** What some of them depend on and nothing here runs: half of the whole. */
const TO_BUILD_WITH = /-dev$|^gcc-|^g\+\+|^cpp|^unicode-data$/

/** Packages with all that they depend on, as far as it is installed. */
const closure = (packages: ReadonlyArray<string>): ReadonlyArray<string> => {
  const installed = new Set(
    output("dpkg-query", ["-W", "-f", "${db:Status-Abbrev}${Package}\n"]).split("\n")
      .filter((line) => line.startsWith("ii ")).map((line) => line.slice(3).trim())
  )
  const all = output("apt-cache", [
    ...["depends", "--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"],
    ...["--no-replaces", "--no-enhances"],
    ...packages.filter((name) => installed.has(name))
  ])
  return [
    ...new Set(all.split("\n").filter((line) => /^[a-z0-9]/.test(line)).map((line) => line.trim().replace(/:.*/, "")))
  ]
    .filter((name) => installed.has(name) && !TO_BUILD_WITH.test(name))
}

const LEFT_OUT = /^\/usr\/share\/(doc|man|locale|info|lintian|bug|icons|vim)\//

/** The files of packages, under the names that they really have: `/bin` is a link on a merged system. */
const filesOf = (packages: ReadonlyArray<string>): ReadonlyArray<string> => {
  const real = new Map<string, string>()
  const parent = (path: string): string => {
    const folder = Path.dirname(path)
    const known = real.get(folder) ?? Fs.realpathSync(folder)
    real.set(folder, known)
    return known
  }
  const listed = output("dpkg", ["-L", ...packages]).split("\n").filter((path) =>
    path.startsWith("/") && path !== "/." && !LEFT_OUT.test(path) && Fs.existsSync(path)
  )
  return listed.map((path) => Path.join(parent(path), Path.basename(path)))
}

/** Links that are made when a package is installed, such as that to the BLAS which numpy needs. */
const alternatives = (): ReadonlyArray<string> =>
  output("find", ["/usr", "-type", "l", "-lname", "/etc/alternatives/*"]).trim().split("\n")

/** What no package lists, because it is made when one is installed. */
const WHOLE = ["/etc/alternatives", "/etc/ssl/certs"]
const MADE_LATER = ["/etc/ld.so.cache", "/bin", "/sbin", "/lib", "/lib64", "/etc/passwd", "/etc/group", "/etc/shadow"]

const docker = (args: ReadonlyArray<string>): string => output("docker", args).trim()

/** One program into another: fails when one of them does, or takes too long. */
const pipe = async (
  [from, ...fromArgs]: readonly [string, ...Array<string>],
  [to, ...toArgs]: readonly [string, ...Array<string>]
): Promise<void> => {
  const writer = spawn(from, fromArgs, { stdio: ["ignore", "pipe", "inherit"], timeout: STEP_MS })
  const reader = spawn(to, toArgs, { stdio: [writer.stdout, "ignore", "inherit"], timeout: STEP_MS })
  const ends = [[from, writer], [to, reader]] as const
  await Promise.all(ends.map(([name, child]) =>
    new Promise<void>((resolve, reject) => {
      child.once("error", reject)
      child.once("exit", (code, signal) =>
        code === 0 ? resolve() : reject(new Error(`${name} ended with ${code ?? signal}`)))
    })
  ))
}

/** Imports what tar writes. */
const importTar = (name: string, tar: ReadonlyArray<string>, options: ReadonlyArray<string>): Promise<void> =>
  pipe(["tar", ...tar], ["docker", "import", ...options, "-", name])

const importPackages = async (name: string, packages: ReadonlyArray<string>, changes: ReadonlyArray<string>) => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sandbox-sdk-image-"))
  try {
    const list = Path.join(folder, "files")
    const there = MADE_LATER.filter((path) => Fs.existsSync(path))
    const files = [...new Set([...filesOf(closure(packages)), ...alternatives(), ...there])]
      .filter((path) => !WHOLE.some((folder) => path === folder || path.startsWith(`${folder}/`)))
    Fs.writeFileSync(list, files.map((path) => path.slice(1)).join("\n"))
    const node = Path.join(folder, "usr/local/bin")
    Fs.mkdirSync(node, { recursive: true })
    Fs.copyFileSync(process.execPath, Path.join(node, "node"))
    Fs.chmodSync(Path.join(node, "node"), 0o755)
    await importTar(
      name,
      [
        "-c",
        "-C",
        "/",
        "--no-recursion",
        "-T",
        list,
        "--recursion",
        ...WHOLE.map((path) => path.slice(1)),
        "-C",
        folder,
        "usr/local/bin/node"
      ],
      changes.flatMap((change) => ["--change", change])
    )
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** The same image once more, whose configuration names another machine: `docker import` knows only this one. */
const importForeign = (folder: string): void => {
  const saved = Path.join(folder, "saved")
  Fs.mkdirSync(saved)
  output("docker", ["save", "--output", `${saved}.tar`, IMAGES.busybox])
  output("tar", ["-x", "-f", `${saved}.tar`, "-C", saved])
  const manifest = Fs.readFileSync(Path.join(saved, "manifest.json"), "utf8")
  const [, config = ""] = /"Config":"([^"]+)"/.exec(manifest) ?? []
  const path = Path.join(saved, config)
  const other = process.arch === "arm64" ? "amd64" : "arm64"
  Fs.writeFileSync(path, Fs.readFileSync(path, "utf8").replace(/"architecture":"[^"]*"/, `"architecture":"${other}"`))
  Fs.writeFileSync(Path.join(saved, "manifest.json"), manifest.replaceAll(IMAGES.busybox, IMAGES.foreign))
  Fs.rmSync(Path.join(saved, "repositories"), { force: true })
  output("tar", ["-c", "-f", `${saved}.tar`, "-C", saved, "."])
  output("docker", ["load", "--input", `${saved}.tar`])
}

const importBusybox = async () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sandbox-sdk-image-"))
  try {
    const bin = Path.join(folder, "bin")
    Fs.mkdirSync(bin)
    Fs.copyFileSync("/bin/busybox", Path.join(bin, "busybox"))
    Fs.chmodSync(folder, 0o755)
    for (const name of output("/bin/busybox", ["--list"]).trim().split("\n")) {
      if (name !== "busybox") Fs.symlinkSync("busybox", Path.join(bin, name))
    }
    await importTar(IMAGES.busybox, ["-c", "-C", folder, "."], ["--change", "ENV GREETING=hello PATH=/bin"])
    importForeign(folder)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Makes those that are not there.
 */
export const makeImages = async (): Promise<void> => {
  const there = docker(["images", "--format", "{{.Repository}}:{{.Tag}}"]).split("\n")
  if (!there.includes(IMAGES.full)) await importPackages(IMAGES.full, [...BASE, ...PYTHON], [])
  if (!there.includes(IMAGES.node)) await importPackages(IMAGES.node, BASE, ["VOLUME /var/data"])
  if (!there.includes(IMAGES.busybox) || !there.includes(IMAGES.foreign)) await importBusybox()
}

/**
 * Gives an image to another engine, unless it has it.
 */
export const copyImage = async (name: string, address: string): Promise<void> => {
  const idAt = (...host: ReadonlyArray<string>) => docker([...host, "images", "--quiet", "--no-trunc", name])
  if (idAt() !== idAt("--host", address)) {
    await pipe(["docker", "save", name], ["docker", "--host", address, "load"])
  }
}
