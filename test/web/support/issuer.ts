/** A chat product that signs tokens for its users, and publishes its keys. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const CLAIMS = { iss: 'https://chat.example', aud: 'innkeeper' };
const ALG = 'ES256';

export interface Issuer {
  /** Of a gateway that takes its tokens. */
  readonly settings: Readonly<Record<string, string>>;
  tokenOf(userId: string): Promise<string>;
  close(): void;
}

export async function openIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair(ALG);
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: ALG }] });
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json').end(keys);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    settings: {
      USER_TOKENS_JWKS_URL: `http://127.0.0.1:${port}/keys`,
      USER_TOKENS_ISSUER: CLAIMS.iss,
      USER_TOKENS_AUDIENCE: CLAIMS.aud,
    },
    tokenOf: (sub) =>
      new SignJWT({ ...CLAIMS, sub })
        .setProtectedHeader({ alg: ALG, kid: 'k1' })
        .setExpirationTime('5 min')
        .sign(privateKey),
    close: () => void server.close(),
  };
}
