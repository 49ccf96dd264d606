/** The logger: secrets are cut out wherever they ride, and the form for people keeps every field. */
import { describe, expect, it } from 'vitest';
import { createLogger, silentLogger } from '../../src/log.js';

function capture(pretty: boolean): { lines: string[]; log: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { lines, log: createLogger({ level: 'info', part: 'test', pretty, destination }) };
}

describe('createLogger', () => {
  it('cuts secrets out at the top and below it', () => {
    const { lines, log } = capture(false);
    const secret = 'sk-9f31';
    log.info(
      { apiKey: secret, machines: { apiKey: secret }, request: { headers: { authorization: secret } } },
      'asked',
    );
    log.info({ headers: { 'x-api-key': secret, 'X-API-Key': secret }, terminal: { stream_url: secret } }, 'asked');
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain(secret);
    expect(lines[0]).toContain('[redacted]');
  });

  it('writes one JSON object a line, with part, level and time', () => {
    const { lines, log } = capture(false);
    log.warn({ userId: 'ada' }, 'machine is away');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'warn',
      part: 'test',
      userId: 'ada',
      msg: 'machine is away',
      time: expect.stringMatching(/^\d{4}-/) as string,
    });
  });

  it('shows people time, part, level, message, fields and the stack of an error', () => {
    const { lines, log } = capture(true);
    log.error({ err: new Error('no route'), tries: 3 }, 'machine is away');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d test {5}error machine is away tries=3\nError: no route\n {4}at /);
  });
});

describe('silentLogger', () => {
  it('is off', () => {
    expect(silentLogger().isLevelEnabled('error')).toBe(false);
  });
});
