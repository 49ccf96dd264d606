/** Kinds of settings: what a text of the environment must look like, and what it is read as. Which settings there are is config.ts. */
import { z } from 'zod';

export const text = () => z.string({ error: 'is not set' });
export const url = (...protocols: string[]) =>
  text().refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    error: `must be a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  });
export const whole = (fallback: number, min: number, max: number) =>
  text()
    .refine((value) => /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number)
    .default(fallback);
/** Milliseconds between two of something that may be off (0). */
export const interval = (fallback: number, min: number, max: number) =>
  whole(fallback, 0, max).refine((value) => value === 0 || value >= min, {
    error: `must be 0 (off), or a whole number from ${min} to ${max}`,
  });
export const price = () =>
  text()
    .refine((value) => /^\d+(\.\d+)?$/.test(value), { error: 'must be a price such as 0.05' })
    .transform(Number)
    .optional();
export const choice = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` });
export const jsonObject = () =>
  text().transform((value, context): Readonly<Record<string, unknown>> => {
    const parsed = parseJsonObject(value);
    if (parsed === undefined) context.addIssue({ code: 'custom', message: 'must be a JSON object' });
    return parsed ?? {};
  });
/** `name=value` pairs, separated by commas, values as in a URL. */
export const headers = () =>
  text().transform((value, context): Readonly<Record<string, string>> => {
    const parsed = parseHeaders(value);
    if (parsed === undefined) context.addIssue({ code: 'custom', message: 'must be name=value, separated by commas' });
    return parsed ?? {};
  });
/** Separated by commas, each as browsers send it. */
export const origins = () =>
  text()
    .transform((value) => value.split(',').map((origin) => origin.trim()))
    .refine((all) => all.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin), {
      error: 'must be origins such as https://chat.example.com, separated by commas',
    })
    .optional();
export const flag = () => choice(['true', 'false']).transform((value) => value === 'true');
export const hostPort = () =>
  text().regex(/^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, { error: 'must be host:port' });
/** Of a listener that is off where no port is set. */
export const port = () =>
  text()
    .refine((value) => /^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535, {
      error: 'must be a port from 1 to 65535',
    })
    .transform(Number)
    .optional();

function parseJsonObject(value: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
    return parsed as Record<string, unknown>;
  } catch {
    return undefined; // Reported by the caller, without the text.
  }
}

function parseHeaders(value: string): Record<string, string> | undefined {
  const pairs: [string, string][] = [];
  for (const pair of value.split(',')) {
    const [, name, encoded] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    if (name === undefined || encoded === undefined) return undefined;
    try {
      pairs.push([name, decodeURIComponent(encoded)]);
    } catch {
      return undefined; // Reported by the caller, without the text.
    }
  }
  return Object.fromEntries(pairs);
}
