/** What a test file asks for: a database of its own, and the Temporal server that all share. */
import pg from 'pg';
import { inject } from 'vitest';

export interface TestDatabase {
  readonly url: string;
  /** Drops it, whoever is still connected. Call it in `afterAll`, after closing your pools. */
  drop(): Promise<void>;
}

/** A fresh database with every migration applied, cloned from a template (about 50 ms; the first one starts Postgres). */
export async function createTestDatabase(): Promise<TestDatabase> {
  return await clone('/database');
}

/** A fresh database with nothing in it, for tests of the migrations themselves. */
export async function createEmptyTestDatabase(): Promise<TestDatabase> {
  return await clone('/empty-database');
}

/**
 * The shared Temporal dev server: namespace `default`, the lanes' search attributes registered. Files run side by side on it, so
 * give your worker a task queue of its own and your users ids of their own.
 */
export async function testTemporal(): Promise<{ address: string; uiUrl: string }> {
  return await ask<{ address: string; uiUrl: string }>('/temporal');
}

async function clone(path: string): Promise<TestDatabase> {
  const { url, adminUrl, name } = await ask<{ url: string; adminUrl: string; name: string }>(path);
  const drop = async (): Promise<void> => {
    const client = new pg.Client({ connectionString: adminUrl });
    await client.connect();
    try {
      await client.query(`drop database if exists ${name} with (force)`);
    } finally {
      await client.end();
    }
  };
  return { url, drop };
}

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(inject('starterUrl') + path);
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as T;
}
