/**
 * What stands in front of a server that clients reach by names of hosts alone: TLS, and names that lead to this machine.
 */
import * as Undici from "@effect/platform-node/Undici"
import { execFileSync } from "node:child_process"
import * as Dns from "node:dns"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createServer } from "node:tls"

const DOMAIN = "e2b.test"

/** A certificate for all names of the domain, made for this once. */
const certificate = () => {
  const folder = mkdtempSync(join(tmpdir(), "certificate-"))
  try {
    const [key, cert] = [join(folder, "key"), join(folder, "cert")]
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", `/CN=${DOMAIN}`, "-addext", `subjectAltName=DNS:*.${DOMAIN}`, "-keyout", key, "-out", cert]
    ], { stdio: "ignore" })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * TLS in front of a port of this machine, and a `fetch` that trusts it and finds its names, as a certificate and a name
 * server would have it. Gives the domain for `E2B_DOMAIN`.
 */
export const frontOf = async (port: number) => {
  const { cert, key } = certificate()
  const front = createServer({ key, cert }, (socket) => {
    const server = connect(port, "127.0.0.1")
    socket.pipe(server).pipe(socket)
    socket.on("error", () => server.destroy())
    server.on("error", () => socket.destroy())
    socket.on("close", () => server.destroy())
  })
  front.listen(0, "127.0.0.1")
  await once(front, "listening")
  const address = front.address()
  const before = Undici.getGlobalDispatcher()
  const dispatcher = new Undici.Agent({
    connect: {
      ca: cert,
      lookup: (host, options, callback) =>
        Dns.lookup(host.endsWith(`.${DOMAIN}`) ? "127.0.0.1" : host, options, callback)
    }
  })
  Undici.setGlobalDispatcher(dispatcher)
  return {
    domain: `${DOMAIN}:${typeof address === "object" ? address?.port : address}`,
    close: async () => {
      Undici.setGlobalDispatcher(before)
      await dispatcher.destroy()
      front.close()
    }
  }
}
