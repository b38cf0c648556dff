-- Grants of audit. The build revokes everything else.

-- Where a checkpoint was delivered concerns only the operator.
grant select (
  tree_size, root_hash, key_id, note, signed_at, delivered_at
) on bulwark.audit_checkpoints to authenticated;

grant select on
  bulwark.audit_event_types,
  bulwark.audit_logs,
  bulwark.audit_legal_holds,
  bulwark.audit_archives,
  bulwark.audit_archived_logs,
  bulwark.audit_archive_files,
  bulwark.audit_restored_logs
  to authenticated, service_role;

grant select (
  key_id, name, public_key, registered_at
) on bulwark.audit_keys to authenticated, service_role;

grant select on bulwark.audit_checkpoints to service_role;

grant execute on function bulwark_private.audited_organizations() to authenticated;

grant execute on function
  bulwark.log_audit_event(
    text, text, uuid, text, text, bulwark.audit_result, bulwark.audit_severity, jsonb, uuid, uuid
  ),
  bulwark.verify_audit_log(uuid, timestamptz, timestamptz, bigint, integer, integer),
  bulwark.audit_inclusion_proof(uuid),
  bulwark.audit_consistency_proof(bigint, bigint),
  bulwark.audit_group_nodes(bigint, bigint, bigint, uuid),
  bulwark.audit_status(),
  bulwark_private.audit_id_floor(timestamptz),
  bulwark_private.audit_id_time(uuid),
  bulwark_private.audit_entry_below(uuid, uuid, integer, boolean, uuid[]),
  bulwark_private.find_audit_entries(text, text, uuid, uuid, integer),
  bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz),
  bulwark.search_audit_logs(uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[],
    bulwark.audit_result[], uuid, text, text, uuid, text, uuid, integer,
    integer),
  bulwark.export_audit_log(uuid, text, integer, timestamptz, timestamptz, boolean, text),
  bulwark.audit_period(uuid, timestamptz, timestamptz),
  bulwark.audit_histogram(uuid, timestamptz, timestamptz, interval, text, uuid, text[],
    bulwark.audit_severity[], uuid, text, text),
  bulwark.tail_audit_log(uuid, text, integer),
  bulwark.audit_coverage(uuid),
  bulwark.place_legal_hold(text, uuid, uuid, text, text),
  bulwark.release_legal_hold(uuid),
  bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer)
  to authenticated, service_role;

grant execute on function
  bulwark.seal_audit_log(),
  bulwark.audit_tree_head(),
  bulwark.store_audit_checkpoint(bigint, text, text, jsonb),
  bulwark.record_audit_delivery(bigint, text, text),
  bulwark.undelivered_audit_checkpoints(integer),
  bulwark.report_checkpoint_problem(text, jsonb),
  bulwark.check_audit_log(integer),
  bulwark.continue_audit_export(uuid, text, uuid),
  bulwark.note_audit_export(uuid, text, boolean, boolean, uuid),
  bulwark.cleanup_old_audit_logs(integer),
  bulwark.prune_audit_log(integer),
  bulwark.next_audit_archive(date),
  bulwark.check_audit_archive(date),
  bulwark.record_audit_archive_file(date, jsonb, jsonb),
  bulwark.forget_audit_archive_files(date, uuid),
  bulwark.finish_audit_archive(date, jsonb),
  bulwark.begin_audit_restore(date, text, uuid, boolean),
  bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint),
  bulwark.discard_restored_audit_logs(integer)
  to service_role;
