import type {
  DataKeyStore,
  StoredDataKey,
} from "../../../supabase/functions/_bulwark/encryption/data_keys.ts";
import type { RegisteredKey } from "../../../supabase/functions/_bulwark/encryption/key_ring.ts";

/** A store in memory for unit tests and benchmarks, which behaves like the database. */
export interface MemoryStore extends DataKeyStore {
  keys: (StoredDataKey & { messages: number; current: boolean })[];
  registered: Map<string, RegisteredKey>;
  /** Maximum number of messages of one key. */
  limit: number;
  /** The calls it received, by name. */
  calls: Record<string, number>;
  kek: string | null;
}

export function memoryStore(): MemoryStore {
  const store: MemoryStore = {
    keys: [],
    registered: new Map(),
    limit: 2 ** 30,
    calls: {},
    kek: null,
    find(id) {
      return Promise.resolve(store.registered.get(id) ?? null);
    },
    register(id, key) {
      const kept = store.registered.get(id) ?? key;
      store.registered.set(id, kept);
      return Promise.resolve(kept);
    },
    report(id, fault) {
      const key = store.registered.get(id);
      if (key) key.fault = fault;
      return Promise.resolve();
    },
    reserve(organizationId, purpose, messages) {
      count("reserve");
      const key = store.keys.find((kept) =>
        kept.organizationId === organizationId && kept.purpose === purpose && kept.current
      );
      if (!key) return Promise.resolve({ key: null, granted: 0, kek: store.kek });
      const granted = Math.min(messages, store.limit - key.messages);
      key.messages += granted;
      return Promise.resolve({ key: { ...key }, granted, kek: store.kek });
    },
    add(key, after) {
      count("add");
      const current = store.keys.find((kept) =>
        kept.organizationId === key.organizationId && kept.purpose === key.purpose && kept.current
      );
      if ((current?.version ?? 0) === after) {
        if (current) current.current = false;
        store.keys.push({ ...key, messages: 0, current: true });
      }
      return Promise.resolve();
    },
    read(ids) {
      count("read");
      return Promise.resolve(store.keys.filter(({ id }) => ids.includes(id)));
    },
    indexKeys(organizationId) {
      const found = store.keys.filter((key) =>
        key.organizationId === organizationId && key.purpose === "index" && key.wrapped
      );
      return Promise.resolve(found.toReversed());
    },
  };
  const count = (name: string) => store.calls[name] = (store.calls[name] ?? 0) + 1;
  return store;
}
