/**
 * Requests that are wrong, made from the server's own description of what is right.
 */
import type { Random } from "../support/random.js"

export interface Wrong {
  /** What is wrong with it. */
  readonly what: string
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body?: Buffer | undefined
}

/** What requests may be about. */
export interface Targets {
  /** The caller's own sandbox: only what cannot succeed may be sent to it, and what changes nothing. */
  readonly own: string
  /** Ids of another user: a sandbox, a context, a template. */
  readonly foreign: { readonly sandbox: string; readonly context: string; readonly template: string }
}

const resolve = (document: any, schema: any): any => {
  if (schema?.$ref !== undefined) {
    return resolve(document, document.components.schemas[schema.$ref.split("/").at(-1)])
  }
  return schema ?? {}
}

/** A value that the schema allows: nothing that is optional. */
export const sample = (document: any, input: any): any => {
  const schema = resolve(document, input)
  if (schema.enum !== undefined) {
    return schema.enum[0]
  }
  if (schema.anyOf !== undefined) {
    return sample(document, schema.anyOf[0])
  }
  switch (schema.type) {
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((name: string) => [name, sample(document, schema.properties[name])])
      )
    case "array":
      return [sample(document, schema.items)]
    case "integer":
    case "number":
      return schema.minimum ?? 1
    case "boolean":
      return true
    default:
      return "python"
  }
}

const values: ReadonlyArray<readonly [type: string, value: unknown]> = [
  ["null", null],
  ["boolean", true],
  ["number", 7],
  ["number", -1.5e300],
  ["string", "text"],
  ["string", ""],
  ["array", []],
  ["array", [null]],
  ["object", {}],
  ["object", { a: { b: [] } }]
]

const typesOf = (document: any, input: any): ReadonlyArray<string> => {
  const schema = resolve(document, input)
  if (schema.anyOf !== undefined) {
    return schema.anyOf.flatMap((member: any) => typesOf(document, member))
  }
  return schema.type === "integer" ? ["number"] : schema.type === undefined ? ["string"] : [schema.type]
}

/** A value that the schema forbids, for a property. */
const forbidden = (random: Random, document: any, input: any): unknown => {
  const schema = resolve(document, input)
  const choices: Array<() => unknown> = [() => {
    const types = typesOf(document, schema)
    return random.pick(values.filter(([type]) => !types.includes(type)))[1]
  }]
  if (schema.maximum !== undefined) {
    choices.push(() => random.pick([schema.maximum + 1, 1e308, -1e308, 2 ** 53, -1]))
  }
  if (schema.type === "integer") {
    choices.push(() => (schema.minimum ?? 1) + 0.5)
  }
  if (schema.enum !== undefined) {
    choices.push(() => random.pick(["", "cobol", "PYTHON", "python\u0000", "x".repeat(10_000)]))
  }
  if (schema.maxLength !== undefined) {
    choices.push(() => "x".repeat(schema.maxLength + 1 + random.below(100_000)))
  }
  if (schema.additionalProperties?.type === "string") {
    choices.push(() => ({ A: random.pick([1, null, [], {}]) }))
  }
  return random.pick(choices)()
}

const objectOf = (document: any, input: any): any => {
  const schema = resolve(document, input)
  return schema.anyOf === undefined ? schema : schema.anyOf.map((member: any) => resolve(document, member)).find(
    (member: any) => member.type === "object"
  )
}

const million = Buffer.from(JSON.stringify(Array.from({ length: 1_000_000 }, () => 1)))

const brokenBodies: ReadonlyArray<readonly [string, (random: Random, valid: Buffer) => Buffer]> = [
  ["truncated JSON", (random, valid) => valid.subarray(0, 1 + random.below(valid.length - 1))],
  ["no UTF-8", (random, valid) => {
    const at = 1 + random.below(valid.length - 1)
    return Buffer.concat([
      valid.subarray(0, at),
      Buffer.from([random.pick([0xff, 0xc0, 0xed, 0xfe])]),
      valid.subarray(at)
    ])
  }],
  ["NUL bytes", (random, valid) => Buffer.concat([valid, Buffer.alloc(1 + random.below(100))])],
  ["no JSON", (random) => Buffer.from(random.pick(["{", "[", "nul", "{'a':1}", "NaN", "\"", "{}{}", "<a/>", "a=b"]))],
  ["another type", (random) => Buffer.from(random.pick(["null", "1", "\"text\"", "true", "-1e999"]))],
  ["nested deeply", (random) => Buffer.from("[".repeat(1_000 + random.below(100_000)))],
  [
    "random bytes",
    (random) => Buffer.from(Array.from({ length: 1 + random.below(200) }, () => 128 + random.below(128)))
  ]
]

const strangeIds = [
  "none",
  "sbx_aaaaaaaaaaaaaaaaaaaa",
  "..",
  "%2e%2e",
  "%2e%2e%2fetc",
  "..%2f..%2f..%2fetc%2fpasswd",
  "%00",
  "a%00b",
  "%",
  "%zz",
  "%ff%fe",
  "__proto__",
  "constructor",
  "%F0%9F%98%80",
  "x".repeat(200),
  "x".repeat(5_000),
  "*",
  ":id",
  "null",
  "-1",
  "%20"
]

/** Paths that lead nowhere in a sandbox, or out of it. */
const strangePaths = [
  "",
  "..",
  "../..",
  "../../etc/passwd",
  "/etc/passwd",
  "/workspace/../etc/shadow",
  "/proc/self/mem",
  "a\u0000b",
  "\u0000",
  "x".repeat(300),
  "/workspace/" + "y/".repeat(3_000),
  "/" + "z".repeat(14_000),
  "no/such/file",
  "/opt/sandbox/agent.py/x",
  "\ud83d\ude00/none"
]

const strangeNumbers = [
  "",
  "abc",
  "0",
  "-1",
  "1.5",
  "1e309",
  "NaN",
  "Infinity",
  "999999999999999999999",
  "0x10",
  " 1",
  "1,2"
]

const encode = (text: string): string => encodeURIComponent(text)

interface Operation {
  readonly method: string
  readonly template: string
  readonly description: any
}

export const operationsOf = (document: any): ReadonlyArray<Operation> =>
  Object.entries<any>(document.paths).flatMap(([template, path]) =>
    Object.entries<any>(path).map(([method, description]) => ({ method: method.toUpperCase(), template, description }))
  )

/**
 * Makes such requests, without end.
 */
export const makeRequests = (document: any, random: Random, { foreign, own }: Targets) => {
  const operations = operationsOf(document)

  const address = (template: string, idOf: (name: string) => string) =>
    template.replace(/\{(\w+)\}/g, (_, name: string) => idOf(name))

  const isSandboxPath = (template: string) => template.startsWith("/api/sandboxes/{id}")

  /** Whatever it asks for, it is not for this caller. */
  const foreignId = (template: string) => (name: string): string =>
    name === "contextId" ? foreign.context : isSandboxPath(template) ? foreign.sandbox : foreign.template

  const strangeId = () => random.pick(strangeIds)

  /** Parameters as they should be. */
  const query = (operation: Operation, replace: (parameter: any) => string | undefined = () => undefined): string => {
    const parts: Array<string> = []
    for (const parameter of operation.description.parameters) {
      if (parameter.in === "query") {
        const strange = replace(parameter)
        if (strange !== undefined) {
          parts.push(strange)
        } else if (parameter.required) {
          parts.push(`${parameter.name}=${parameter.name === "path" ? "none.txt" : "1"}`)
        }
      }
    }
    return parts.length === 0 ? "" : `?${parts.join("&")}`
  }

  const bodySchema = ({ description }: Operation): any => description.requestBody?.content["application/json"]?.schema

  const json = { "content-type": "application/json" }

  const validBody = (operation: Operation): Pick<Wrong, "headers" | "body"> => {
    const schema = bodySchema(operation)
    return schema === undefined
      ? operation.description.requestBody === undefined
        ? { headers: {} }
        : { headers: { "content-type": "application/octet-stream" }, body: Buffer.from("bytes") }
      : { headers: json, body: Buffer.from(JSON.stringify(sample(document, schema))) }
  }

  const withIds = (operation: Operation): Wrong => {
    const isForeign = random.next() < 0.5
    const template = operation.template
    return {
      what: isForeign ? "ids of somebody else" : "ids that are none",
      method: operation.method,
      path: address(template, isForeign ? foreignId(template) : strangeId) + query(operation),
      ...validBody(operation)
    }
  }

  /** A body that cannot be right, to the caller's own sandbox. */
  const withBody = (operation: Operation): Wrong | undefined => {
    const schema = bodySchema(operation)
    if (schema === undefined) {
      return undefined
    }
    const path = address(operation.template, () => own) + query(operation)
    const valid = sample(document, schema)
    const text = Buffer.from(JSON.stringify(valid))
    const shape = objectOf(document, schema)
    const properties = Object.keys(shape.properties ?? {})
    const choice = random.below(10)
    if (choice < 4 && properties.length > 0) {
      const name = random.pick(properties)
      const body = {
        ...(Array.isArray(valid) ? {} : valid),
        [name]: forbidden(random, document, shape.properties[name])
      }
      return {
        what: `a wrong ${name}`,
        method: operation.method,
        path,
        headers: json,
        body: Buffer.from(JSON.stringify(body))
      }
    }
    if (choice < 5 && (shape.required ?? []).length > 0) {
      const name = random.pick<string>(shape.required)
      const { [name]: _, ...body } = valid
      return {
        what: `no ${name}`,
        method: operation.method,
        path,
        headers: json,
        body: Buffer.from(JSON.stringify(body))
      }
    }
    if (choice < 6) {
      const type = random.pick([
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "",
        "*/*",
        "x",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonp"
      ])
      return {
        what: `a body of type ${type}`,
        method: operation.method,
        path,
        headers: { "content-type": type },
        body: text
      }
    }
    if (random.next() < 0.005) {
      return { what: "a million elements", method: operation.method, path, headers: json, body: million }
    }
    if (random.next() < 0.005) {
      return {
        what: "a body that is too large",
        method: operation.method,
        path,
        headers: json,
        body: Buffer.alloc(5_000_000, "1")
      }
    }
    const [what, make] = random.pick(brokenBodies)
    return { what, method: operation.method, path, headers: json, body: make(random, text) }
  }

  /** A query that cannot be right, or that only reads. */
  const withQuery = (operation: Operation): Wrong | undefined => {
    const { description, method, template } = operation
    const parameters = description.parameters.filter((parameter: any) => parameter.in === "query")
    if (parameters.length === 0 || template.endsWith("/watch")) {
      return undefined
    }
    const wrong = random.pick<any>(parameters)
    const isPath = wrong.name === "path"
    const reads = method === "GET"
    const strange = (): string | undefined => {
      const choice = random.below(4)
      if (choice === 0 && wrong.required) {
        return ""
      }
      if (choice === 1) {
        return `${wrong.name}=a&${wrong.name}=b`
      }
      if (choice === 2 && reads) {
        return `${wrong.name}=${random.pick(["%", "%zz", "%ff", "%00", "[]", "%5B%5D", "__proto__", "&&&"])}`
      }
      if (isPath) {
        return `path=${encode(random.pick(reads ? strangePaths : strangePaths.slice(0, 11)))}`
      }
      return `${wrong.name}=${encode(random.pick(strangeNumbers.filter((text) => text !== "")))}`
    }
    const text = strange()
    return {
      what: `a strange ${wrong.name}`,
      method,
      path: address(template, () => own) + query(operation, (parameter) => parameter === wrong ? text : undefined),
      ...validBody(operation)
    }
  }

  const withRoute = (): Wrong => {
    const operation = random.pick(operations)
    const path = address(operation.template, strangeId)
    return random.next() < 0.5
      ? {
        what: "another method",
        method: random.pick(["PATCH", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "LINK"]),
        path,
        headers: {}
      }
      : {
        what: "another path",
        method: operation.method,
        path: random.pick([
          `${path}/more`,
          `/v2${path}`,
          `/${path}`,
          path.toUpperCase(),
          "/" + "x".repeat(random.below(10_000)),
          `/${"a/".repeat(random.below(2_000))}`,
          `/?${"q".repeat(17_000)}`,
          "/api/",
          "/%2e%2e/api",
          "/api/sandboxes/%"
        ]),
        headers: {}
      }
  }

  const withHeaders = (): Wrong => {
    const operation = random.pick(operations.filter(({ template }) => template.includes("{")))
    return {
      what: "strange header fields",
      method: operation.method,
      path: address(operation.template, foreignId(operation.template)) + query(operation),
      ...validBody(operation),
      headers: {
        ...validBody(operation).headers,
        ...random.pick([
          { accept: "text/event-stream;q=0, x" },
          { accept: "x".repeat(5_000) },
          { traceparent: "00-zzzz-1-1" },
          { b3: "x-y" },
          { b3: "" },
          { traceparent: "" },
          { origin: "null" },
          { cookie: "a=b; =;;" },
          { "x-forwarded-for": "\u00ff" },
          { upgrade: "websocket", connection: "Upgrade" },
          { "accept-encoding": "identity;q=0" },
          { range: "bytes=5-1" },
          { "if-match": "*" }
        ])
      }
    }
  }

  const next = (): Wrong => {
    for (;;) {
      const operation = random.pick(operations.filter(({ template }) => template.startsWith("/api/")))
      const choice = random.below(20)
      const found = choice < 6
        ? /\{/.test(operation.template) ? withIds(operation) : undefined
        : choice < 13
        ? withBody(operation)
        : choice < 17
        ? withQuery(operation)
        : choice < 19
        ? withRoute()
        : withHeaders()
      if (found !== undefined) {
        return found
      }
    }
  }

  return { next }
}
