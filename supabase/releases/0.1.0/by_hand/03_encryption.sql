-- Key-encryption keys that are lost, or that functions could not use.
alter table bulwark_private.key_encryption_keys
  add column lost_at timestamptz,
  add column fault text;
