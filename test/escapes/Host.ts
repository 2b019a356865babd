/**
 * What there is to reach on the host, and how one sees that it was reached.
 */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { createSocket } from "node:dgram"
import * as Dns from "node:dns"
import * as Fs from "node:fs"
import { createServer, type ListenOptions } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"

/**
 * What the programs are told. The secrets themselves are not in it: who prints one has been where it should not have been.
 */
export interface Told {
  /** Files that everybody on the host may read. */
  readonly canaries: ReadonlyArray<string>
  /** A folder that everybody on the host may write to. */
  readonly drop: string
  readonly unixSocket: string
  readonly abstractSocket: string
  readonly tcp: number
  readonly tcp6: number
  readonly udp: number
  /** A listener on every address of the host. */
  readonly everywhere: number
  /** Addresses of the host's other interfaces. */
  readonly addresses: ReadonlyArray<string>
  readonly nameservers: ReadonlyArray<string>
  /** A process of the same user as the engine. */
  readonly victim: number
  readonly victimName: string
  readonly engine: number
  /** Devices that hold the host's files: major and minor number. */
  readonly devices: ReadonlyArray<readonly [number, number]>
  /** Files of the host's own and what they hash to, as far as the engine can read them. */
  readonly known: ReadonlyArray<readonly [path: string, sha256: string]>
  readonly hostName: string
}

/**
 * The host of one run of the suite.
 */
export interface Host {
  readonly told: Told
  /** Whoever prints one of these has reached it. */
  readonly secrets: ReadonlyArray<string>
  /** What has been touched since this was asked last. */
  readonly breaches: Effect.Effect<ReadonlyArray<string>>
  /** Fails unless a process starts. */
  readonly starts: Effect.Effect<void, string>
  /** Fails unless a file is written and read. */
  readonly answers: Effect.Effect<void, string>
}

const token = (): string => `canary-${randomBytes(12).toString("hex")}`

const folderIn = (parent: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = Fs.mkdtempSync(Path.join(parent, "escapes-"))
      Fs.chmodSync(path, 0o755)
      return path
    }),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
  )

const writable = (path: string): boolean => {
  try {
    Fs.accessSync(path, Fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** A listener that tells a secret to whoever comes. */
const listening = (options: ListenOptions, secret: string, onVisit: () => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly close: () => void }, string>((resume) => {
      const server = createServer((socket) => {
        onVisit()
        socket.on("error", () => {})
        socket.end(`${secret}\n`)
      })
      server.once("error", (error) => resume(Effect.fail(error.message)))
      server.listen(options, () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        resume(Effect.succeed({ port, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const listeningUdp = (secret: string, onVisit: () => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number; readonly close: () => void }>((resume) => {
      const socket = createSocket("udp4")
      socket.on("message", (_, from) => {
        onVisit()
        socket.send(secret, from.port, from.address)
      })
      socket.bind(0, "0.0.0.0", () =>
        resume(Effect.succeed({
          port: socket.address().port,
          close: () => socket.close()
        })))
    }),
    ({ close }) => Effect.sync(close)
  )

/** What the process to be found calls itself. */
const VICTIM = "victim-of-escapes"

const victim = (secret: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sleep", ["100000"], { argv0: VICTIM, env: { VICTIM: secret }, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const succeeds = (command: string): Effect.Effect<void, string> =>
  Effect.async<void, string>((resume) => {
    const child = spawn(command, { stdio: "ignore" })
    child.once("error", (error) => resume(Effect.fail(error.message)))
    child.once("exit", (code) => resume(code === 0 ? Effect.void : Effect.fail(`${command} ended with ${code}`)))
  })

const text = (path: string): string => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** Settings of the kernel that must be the same afterwards. */
const SETTINGS = ["core_pattern", "modprobe", "hostname", "domainname", "randomize_va_space", "ostype"]

const settings = (): string => SETTINGS.map((name) => text(`/proc/sys/kernel/${name}`)).join("|")

/** Files that no two machines have alike, and that are nobody's business. */
const PRIVATE = [
  "/etc/shadow",
  "/etc/gshadow",
  "/etc/machine-id",
  "/etc/hostname",
  "/etc/fstab",
  "/etc/ssh/ssh_host_ed25519_key",
  "/etc/ssh/ssh_host_rsa_key",
  "/var/lib/dpkg/status",
  "/var/log/dpkg.log",
  "/root/.bash_history",
  "/root/.ssh/id_ed25519",
  "/root/.ssh/authorized_keys"
]

/** major(3) and minor(3) of Linux. */
const numbers = (device: number): readonly [number, number] => [
  (device >>> 8) & 0xfff,
  (device & 0xff) | ((device >>> 12) & 0xfff00)
]

/**
 * Sets all of it up; it goes with the scope.
 */
export const make: Effect.Effect<Host, string, Scope.Scope> = Effect.gen(function*() {
  const secrets: Array<string> = []
  const secret = () => {
    const made = token()
    secrets.push(made)
    return made
  }
  const breached: Array<string> = []
  const visited = (what: string) => () => void breached.push(`${what} was reached`)

  const parents = [Os.tmpdir(), "/var/tmp", "/dev/shm"].filter(writable)
  const folders = yield* Effect.forEach(parents, folderIn)
  const [home = Os.tmpdir()] = folders
  const files = folders.map((folder) => ({ path: Path.join(folder, "canary"), content: secret() }))
  for (const { content, path } of files) {
    Fs.writeFileSync(path, content)
    Fs.chmodSync(path, 0o666)
  }
  const drop = Path.join(folders.at(1) ?? home, "drop")
  Fs.mkdirSync(drop)
  Fs.chmodSync(drop, 0o777)

  // As long as a name can be (unix(7)): a shorter one Node fills up with zeros, and it is then another one.
  const abstractSocket = `escapes-${randomBytes(6).toString("hex")}`.padEnd(107, "-")
  const unixSocket = Path.join(home, "socket")
  const tcp = yield* listening({ host: "127.0.0.1", port: 0 }, secret(), visited("the listener on 127.0.0.1"))
  // Another that listens everywhere, so that each address of the host leads to it.
  const everywhere = yield* listening({ host: "0.0.0.0", port: 0 }, secret(), visited("the host's address"))
  const tcp6 = yield* listening({ host: "::1", port: 0 }, secret(), visited("the listener on ::1")).pipe(
    Effect.orElseSucceed(() => ({ port: 9 }))
  )
  yield* listening({ path: `\0${abstractSocket}` }, secret(), visited("the abstract socket"))
  yield* listening({ path: unixSocket }, secret(), visited("the socket in the host's files"))
  Fs.chmodSync(unixSocket, 0o777)
  const udp = yield* listeningUdp(secret(), visited("the UDP listener"))
  const sleeper = yield* victim(secret())
  const before = settings()
  const known = PRIVATE.flatMap((path) => {
    const content = text(path)
    return content === "" ? [] : [[path, createHash("sha256").update(content).digest("hex")] as const]
  })
  // What the engine itself has in its environment; whoever started it may have put it there.
  if (process.env["ENGINE_SECRET"] === undefined) process.env["ENGINE_SECRET"] = token()
  secrets.push(process.env["ENGINE_SECRET"])

  /** What has been done, once: it is put right, so that it does not count against the next. */
  const damage = (): ReadonlyArray<string> => [
    ...files.filter(({ content, path }) => text(path) !== content).map(({ content, path }) => {
      Fs.writeFileSync(path, content)
      return `${path} was changed`
    }),
    ...Fs.readdirSync(drop).map((name) => {
      Fs.rmSync(Path.join(drop, name), { recursive: true, force: true })
      return `${Path.join(drop, name)} was made`
    }),
    ...sleeper.exitCode === null && sleeper.signalCode === null ? [] : ["a process of the host was ended"],
    ...settings() === before ? [] : ["a setting of the kernel was changed"]
  ]

  const scratch = Path.join(home, "scratch")
  return {
    told: {
      canaries: files.map(({ path }) => path),
      drop,
      unixSocket,
      abstractSocket,
      tcp: tcp.port,
      tcp6: tcp6.port,
      udp: udp.port,
      addresses: Object.values(Os.networkInterfaces()).flatMap((found) =>
        (found ?? []).filter(({ internal }) => !internal).map(({ address }) => address)
      ),
      nameservers: Dns.getServers().filter((address) => !address.includes("]")),
      victim: sleeper.pid ?? 0,
      victimName: VICTIM,
      engine: process.pid,
      devices: [
        ...new Set(["/", home, "/dev/shm"].filter((path) => Fs.existsSync(path)).map((path) => Fs.statSync(path).dev))
      ].map(numbers),
      known,
      hostName: Os.hostname(),
      everywhere: everywhere.port
    },
    secrets,
    breaches: Effect.sync(() => [...breached.splice(0), ...damage()]),
    starts: succeeds("/bin/true"),
    answers: Effect.gen(function*() {
      yield* Effect.try({
        try: () => {
          const content = token()
          Fs.writeFileSync(scratch, content)
          if (text(scratch) !== content) throw new Error("a file was not what had been written")
          Fs.unlinkSync(scratch)
        },
        catch: String
      })
    })
  }
})
