/**
 * The header field `traceparent`, by which a trace goes on in another program (W3C Trace Context, 3.2,
 * https://www.w3.org/TR/trace-context/).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/**
 * The environment variable that carries it into a sandbox.
 */
export const VARIABLE = "TRACEPARENT"

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** No id consists of zeros alone. */
const isId = (id: string, length: number): boolean => id.length === length && /^(?=.*[1-9a-f])[0-9a-f]+$/.test(id)

/**
 * The value for a span. `None` when its ids are not of the form that the field has.
 */
export const format = (span: Tracer.AnySpan): Option.Option<string> => {
  const traceId = span.traceId.toLowerCase()
  const spanId = span.spanId.toLowerCase()
  return isId(traceId, 32) && isId(spanId, 16)
    ? Option.some(`00-${traceId}-${spanId}-${span.sampled ? "01" : "00"}`)
    : Option.none()
}

/**
 * The value for the current span; `None` where there is no span.
 */
export const current: Effect.Effect<Option.Option<string>> = Effect.currentParentSpan.pipe(
  Effect.map(format),
  Effect.orElseSucceed(Option.none)
)

/**
 * The span that a value stands for. A later version of the field is read as far as it is known, as the standard wants
 * (4.3); anything malformed is `None`: a new trace begins then.
 */
export const parse = (value: string): Option.Option<Tracer.ExternalSpan> => {
  const [, version, traceId = "", spanId = "", flags = "", rest] = FORM.exec(value.trim()) ?? []
  if (version === undefined || version === "ff" || (version === "00" && rest !== undefined)) {
    return Option.none()
  }
  return isId(traceId, 32) && isId(spanId, 16)
    ? Option.some(Tracer.externalSpan({ traceId, spanId, sampled: (parseInt(flags, 16) & 1) === 1 }))
    : Option.none()
}
