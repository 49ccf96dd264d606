/**
 * The compose file and the images keep to the production checklist: nothing runs as root or may become it, roots are read-only,
 * everything is bounded, versions are pinned, secrets come by file, and only the UI is published, on loopback.
 * Whether the file is valid is the compose tool's own say, in `npm run check`.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Service {
  readonly image: string;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly privileged?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly pids_limit?: number;
  readonly mem_limit?: string;
  readonly cpus?: number;
  readonly volumes?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly networks: readonly string[];
  readonly profiles?: readonly string[];
  readonly build?: { readonly target: string };
}

const text = readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8');
const compose = parse(text, { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const services = Object.entries(compose.services);
const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8');

describe('docker-compose.yml', () => {
  it('has Postgres, Temporal with its UI, a worker, and the emulator by profile only', () => {
    expect(Object.keys(compose.services)).toEqual(
      expect.arrayContaining(['postgres', 'temporal', 'temporal-ui', 'worker', 'emulator']),
    );
    expect(services.filter(([, { profiles }]) => profiles !== undefined).map(([name]) => name)).toEqual(['emulator']);
    expect(compose.services['emulator']?.profiles).toEqual(['emulator']);
  });

  it.each(services)('hardens and bounds %s', (_, service) => {
    expect(service.read_only).toBe(true);
    expect(service.cap_drop).toEqual(['ALL']);
    expect(service.cap_add ?? []).toEqual([]);
    expect(service.privileged ?? false).toBe(false);
    expect(service.security_opt).toContain('no-new-privileges:true');
    expect(service.pids_limit).toBeGreaterThan(0);
    expect(service.mem_limit).toMatch(/^\d+[mg]$/);
    expect(service.cpus).toBeGreaterThan(0);
    expect((service.volumes ?? []).join()).not.toContain('docker.sock');
    expect(service.user ?? 'image').not.toMatch(/^(0|root)/);
  });

  it.each(services)('pins the version of %s', (_, { image }) => {
    expect(image).toMatch(/:\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
  });

  it('publishes the gateway and the UI alone, on loopback', () => {
    const published = services.flatMap(([name, { ports = [] }]) => ports.map((port) => [name, port]));
    expect(published).toEqual([
      ['temporal-ui', '127.0.0.1:8233:8233'],
      ['gateway', '127.0.0.1:7480:7480'],
    ]);
  });

  it('gives Postgres, Temporal and the emulator no way out', () => {
    for (const name of ['postgres', 'temporal', 'emulator']) {
      const outer = compose.services[name]?.networks.filter((network) => compose.networks[network]?.internal !== true);
      expect(outer, name).toEqual([]);
    }
  });

  it('keeps every secret in a file', () => {
    for (const { file } of Object.values(compose.secrets)) expect(file).toMatch(/^\.\/deploy\/secrets\//);
    const variables = services.flatMap(([, { environment = {} }]) => Object.keys(environment));
    expect(variables.filter((name) => /PASSWORD|PWD|KEY|DATABASE_URL/.test(name) && !name.endsWith('_FILE'))).toEqual(
      [],
    );
  });
});

describe('Dockerfile', () => {
  it('pins its bases and runs every image of the compose file as an ordinary user', () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
    expect(bases.every((base) => /^node:\d+\.\d+\.\d+-/.test(base ?? ''))).toBe(true);
    const targets = services.flatMap(([, { build }]) => (build === undefined ? [] : [build.target]));
    for (const target of new Set(targets)) {
      const stage = dockerfile.split(/^FROM /m).find((part) => part.split('\n')[0]?.endsWith(` AS ${target}`));
      expect(stage, target).toMatch(/^USER node$/m);
    }
  });
});
