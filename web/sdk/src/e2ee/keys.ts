import { EncryptionError } from '../errors.ts';

/**
 * A secret that the participants share, with at least 128 bits of chance in it: a text counts as
 * its UTF-8. A `CryptoKey` must be for HKDF and allow `deriveKey`.
 */
export type E2eeKey = CryptoKey | string | Uint8Array;

/** What a key encrypts. Keys of one purpose are of no use for another. */
export type Purpose = 'media' | 'data';

/** A shorter secret can be guessed. */
const SECRET_BYTES_MIN = 16;

const SALT = new TextEncoder().encode('sluice e2ee 1');

/** A fresh secret as a text that fits into an address: 128 random bits. */
export function generateE2eeKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Takes a secret. @throws EncryptionError when it is too short, or a key for something else. */
export async function importSecret(key: E2eeKey): Promise<CryptoKey> {
  const subtle: SubtleCrypto | undefined = crypto.subtle;
  if (!subtle) {
    throw new EncryptionError('unsupported', 'encryption works on pages loaded over HTTPS only');
  }
  if (key instanceof CryptoKey) {
    if (key.algorithm.name === 'HKDF' && key.usages.includes('deriveKey')) return key;
    throw new EncryptionError('bad_key', 'a CryptoKey must be for HKDF, with the use deriveKey');
  }
  const bytes = typeof key === 'string' ? new TextEncoder().encode(key) : key.slice();
  if (bytes.length < SECRET_BYTES_MIN) {
    throw new EncryptionError(
      'bad_key',
      `the secret has ${bytes.length} bytes: at least ${SECRET_BYTES_MIN} are needed`,
    );
  }
  return subtle.importKey('raw', bytes, 'HKDF', false, ['deriveKey']);
}

/** The key of one participant: HKDF (RFC 5869) of the secret, for AES-GCM with 128 bits. */
export function deriveKey(
  secret: CryptoKey,
  purpose: Purpose,
  participantId: string,
): Promise<CryptoKey> {
  const info = new TextEncoder().encode(`${purpose} ${participantId}`);
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: SALT, info },
    secret,
    { name: 'AES-GCM', length: 128 },
    false,
    ['encrypt', 'decrypt'],
  );
}

/** The most derived keys that are kept; the oldest is derived again when it is needed. */
const KEYS_MAX = 1_000;

/** The secrets in use, and the keys that follow from them. */
export class KeyRing {
  readonly #secrets = new Map<number, CryptoKey>();
  readonly #keys = new Map<string, Promise<CryptoKey>>();
  #current = 0;

  /** The id of the secret that encrypts. */
  get current(): number {
    return this.#current;
  }

  /** Encrypts with `secret` from now on; what the others still encrypt with earlier ones is read. */
  add(keyId: number, secret: CryptoKey): void {
    this.#secrets.set(keyId, secret);
    this.#current = keyId;
    this.#keys.clear();
  }

  /** A participant's key. @throws EncryptionError when nobody told the secret. */
  key(keyId: number, purpose: Purpose, participantId: string): Promise<CryptoKey> {
    const name = `${keyId} ${purpose} ${participantId}`;
    let key = this.#keys.get(name);
    if (!key) {
      const secret = this.#secrets.get(keyId);
      if (!secret) {
        return Promise.reject(
          new EncryptionError('bad_key', `no secret with the key id ${keyId} is known`),
        );
      }
      key = deriveKey(secret, purpose, participantId);
      const [oldest] = this.#keys.keys();
      if (this.#keys.size >= KEYS_MAX && oldest !== undefined) this.#keys.delete(oldest);
      this.#keys.set(name, key);
    }
    return key;
  }
}
