-- The protections that hold wherever Bulwark is installed, with any capabilities, in a project in
-- use. Judges Bulwark's own objects and its guards alone, changes nothing and rolls back. Run it
-- with supabase test db.
-- Built by npm run build from scripts/building/installed.sql and supabase/schemas: do not edit.
begin;
-- pgTAP first: the project may have functions of the same names.
set local search_path = extensions, public;
select plan(24);

create temporary table built_objects (noun text, kind text, names text);
insert into built_objects values
  ('foundation', 'table', '
    bulwark.settings bulwark_private.capabilities bulwark_private.jobs
    bulwark_private.live_sessions bulwark_private.setting_rules bulwark_private.unexpired_sessions
  '),
  ('foundation', 'function', '
    bulwark.current_person bulwark.installed_capabilities bulwark.keep_columns
    bulwark.schedule_jobs bulwark.version
  '),
  ('rbac', 'table', '
    bulwark.invitations bulwark.mfa_policies bulwark.mfa_secrets bulwark.organizations
    bulwark.permissions bulwark.role_inheritance bulwark.role_permissions bulwark.roles
    bulwark.user_roles bulwark_private.active_grants bulwark_private.departures
    bulwark_private.effective_permissions bulwark_private.former_organizations
    bulwark_private.held_permissions bulwark_private.host_members
    bulwark_private.host_organizations bulwark_private.invitation_accounts
    bulwark_private.invitation_tokens bulwark_private.mfa_backup_codes bulwark_private.mfa_sessions
    bulwark_private.mfa_trusted_devices bulwark_private.organization_keys bulwark_private.people
    bulwark_private.permission_versions bulwark_private.reserved_slugs
    bulwark_private.unexpired_grants
  '),
  ('rbac', 'function', '
    bulwark.accept_invitation bulwark.accept_my_invitation bulwark.check_permissions
    bulwark.cleanup_invitations bulwark.create_organization bulwark.create_role
    bulwark.custom_access_token_hook bulwark.decline_invitation bulwark.delete_organization
    bulwark.delete_role bulwark.explain_permission bulwark.get_user_roles bulwark.grant_role
    bulwark.has_permission bulwark.invite_member bulwark.is_super_admin bulwark.leave_organization
    bulwark.list_invitations bulwark.list_members bulwark.list_names bulwark.list_settings
    bulwark.member_organizations bulwark.mfa_required bulwark.mfa_verified bulwark.my_invitations
    bulwark.organization_id bulwark.organizations_with bulwark.preview_invitation
    bulwark.read_native_mfa bulwark.release_members bulwark.release_organizations
    bulwark.remove_member bulwark.require_permission bulwark.resend_invitation
    bulwark.revoke_invitation bulwark.revoke_role bulwark.set_member_roles bulwark.set_setting
    bulwark.update_organization bulwark.update_role bulwark.use_members bulwark.use_organizations
    bulwark.user_has_permission bulwark.whoami
  '),
  ('rbac', 'trigger', '
    auth.users:bulwark_invited_account auth.users:bulwark_named_account
    auth.users:bulwark_rights_lock bulwark.invitations:invitations_keep_columns
    bulwark.mfa_policies:mfa_policies_keep_columns bulwark.mfa_policies:mfa_policies_touch
    bulwark.mfa_secrets:mfa_secrets_keep_columns bulwark.organizations:organizations_note_deletion
    bulwark.organizations:organizations_refuse_id
    bulwark.organizations:organizations_start_permission_version
    bulwark.organizations:organizations_touch_updated_at
    bulwark.role_inheritance:role_inheritance_keep_columns
    bulwark.role_inheritance:role_inheritance_refresh_on_delete
    bulwark.role_inheritance:role_inheritance_refresh_on_insert
    bulwark.role_inheritance:role_inheritance_validate
    bulwark.role_permissions:role_permissions_keep_columns
    bulwark.role_permissions:role_permissions_refresh_on_delete
    bulwark.role_permissions:role_permissions_refresh_on_insert bulwark.roles:roles_keep_columns
    bulwark.roles:roles_touch_updated_at bulwark.user_roles:user_roles_keep_administrator_on_delete
    bulwark.user_roles:user_roles_keep_administrator_on_insert
    bulwark.user_roles:user_roles_keep_administrator_on_update
    bulwark.user_roles:user_roles_keep_columns bulwark.user_roles:user_roles_note_departures
    bulwark.user_roles:user_roles_touch_updated_at bulwark.user_roles:user_roles_validate
  '),
  ('audit', 'table', '
    bulwark.audit_archive_files bulwark.audit_archived_logs bulwark.audit_archives
    bulwark.audit_checkpoints bulwark.audit_event_types bulwark.audit_keys
    bulwark.audit_legal_holds bulwark.audit_logs bulwark.audit_restored_logs
    bulwark_private.audit_check_progress bulwark_private.audit_closings
    bulwark_private.audit_columns bulwark_private.audit_commitments bulwark_private.audit_exports
    bulwark_private.audit_gaps bulwark_private.audit_groups bulwark_private.audit_key_acceptances
    bulwark_private.audit_late_entries bulwark_private.audit_leaves bulwark_private.audit_parents
    bulwark_private.audit_partitions bulwark_private.audit_payloads bulwark_private.audit_prunings
    bulwark_private.audit_records bulwark_private.audit_removable
    bulwark_private.audit_retention_progress bulwark_private.audit_seal_ranges
    bulwark_private.audit_seals bulwark_private.audit_system_objects bulwark_private.audit_tables
    bulwark_private.audit_timelines bulwark_private.audit_types
    bulwark_private.audit_watched_tables
  '),
  ('audit', 'function', '
    bulwark.accept_audit_key bulwark.audit_consistency_proof bulwark.audit_coverage
    bulwark.audit_group_nodes bulwark.audit_histogram bulwark.audit_inclusion_proof
    bulwark.audit_period bulwark.audit_status bulwark.audit_tree_head bulwark.begin_audit_restore
    bulwark.check_audit_archive bulwark.check_audit_log bulwark.cleanup_old_audit_logs
    bulwark.continue_audit_export bulwark.disable_audit bulwark.discard_restored_audit_logs
    bulwark.enable_audit bulwark.erase_subject bulwark.export_audit_log
    bulwark.finish_audit_archive bulwark.forget_audit_archive_files bulwark.log_audit_event
    bulwark.next_audit_archive bulwark.note_audit_export bulwark.place_legal_hold
    bulwark.prune_audit_log bulwark.raise_security_event bulwark.record_audit_archive_file
    bulwark.record_audit_delivery bulwark.refresh_audit_fingerprints bulwark.release_legal_hold
    bulwark.report_checkpoint_problem bulwark.restore_audit_entries bulwark.seal_audit_log
    bulwark.search_audit_logs bulwark.store_audit_checkpoint bulwark.tail_audit_log
    bulwark.undelivered_audit_checkpoints bulwark.verify_audit_log
  '),
  ('audit', 'trigger', '
    bulwark.audit_archive_files:audit_archive_files_refuse_change
    bulwark.audit_archive_files:audit_archive_files_refuse_truncate
    bulwark.audit_archived_logs:audit_archived_logs_refuse_change
    bulwark.audit_archived_logs:audit_archived_logs_refuse_truncate
    bulwark.audit_archives:audit_archives_refuse_change
    bulwark.audit_archives:audit_archives_refuse_truncate
    bulwark.audit_checkpoints:audit_checkpoints_keep
    bulwark.audit_checkpoints:audit_checkpoints_refuse_removal
    bulwark.audit_checkpoints:audit_checkpoints_refuse_truncate
    bulwark.audit_keys:audit_keys_refuse_change bulwark.audit_keys:audit_keys_refuse_truncate
    bulwark.audit_legal_holds:audit_legal_holds_keep_columns
    bulwark.audit_legal_holds:audit_legal_holds_reset_retention
    bulwark.audit_legal_holds:audit_legal_holds_stay_released
    bulwark.audit_legal_holds:audit_legal_holds_wait bulwark.audit_logs:audit_logs_refuse_change
    bulwark.audit_logs:audit_logs_refuse_truncate bulwark.audit_logs:audit_logs_stamp
    bulwark_private.audit_gaps:audit_gaps_refuse_change
    bulwark_private.audit_gaps:audit_gaps_refuse_truncate
    bulwark_private.audit_groups:audit_groups_refuse_change
    bulwark_private.audit_groups:audit_groups_refuse_truncate
    bulwark_private.audit_prunings:audit_prunings_refuse_change
    bulwark_private.audit_prunings:audit_prunings_refuse_truncate
    bulwark_private.audit_seals:audit_seals_extend_chain
    bulwark_private.audit_seals:audit_seals_refuse_change
    bulwark_private.audit_seals:audit_seals_refuse_truncate
    bulwark_private.audit_timelines:audit_timelines_keep_columns
    bulwark_private.audit_timelines:audit_timelines_refuse_removal
    bulwark_private.audit_timelines:audit_timelines_refuse_truncate
    bulwark_private.audit_timelines:audit_timelines_settle_once
    bulwark_private.audit_timelines:audit_timelines_stamp
  '),
  ('audit', 'audited', '
    bulwark_private.audit_watched_tables bulwark.organizations bulwark.permissions bulwark.roles
    bulwark.role_permissions bulwark.role_inheritance bulwark.user_roles bulwark.invitations
    bulwark_private.invitation_tokens bulwark_private.effective_permissions bulwark.mfa_secrets
    bulwark.mfa_policies bulwark_private.mfa_sessions bulwark_private.mfa_backup_codes
    bulwark_private.mfa_trusted_devices bulwark_private.reserved_slugs
    bulwark_private.host_organizations bulwark_private.host_members bulwark.settings
    bulwark_private.jobs bulwark.audit_event_types bulwark.audit_keys
    bulwark_private.audit_key_acceptances bulwark.audit_legal_holds
  '),
  ('encryption', 'table', '
    bulwark.reencryption_failures bulwark_private.data_keys bulwark_private.encrypted_columns
    bulwark_private.key_encryption_keys bulwark_private.reencryptions
    bulwark_private.shredded_organizations
  '),
  ('encryption', 'function', '
    bulwark.add_data_key bulwark.apply_reencryption_batch bulwark.authorize_field_access
    bulwark.choose_key_encryption_key bulwark.data_keys_to_rewrap bulwark.declare_encrypted_column
    bulwark.declare_key_found bulwark.declare_key_lost bulwark.encryption_overview
    bulwark.encryption_progress bulwark.find_key_encryption_key bulwark.is_shredded
    bulwark.key_encryption_status bulwark.list_encrypted_columns bulwark.next_reencryption_batch
    bulwark.organizations_by_key bulwark.read_data_keys bulwark.read_index_keys
    bulwark.register_key_encryption_key bulwark.report_key_fault bulwark.reserve_data_key
    bulwark.retry_reencryption bulwark.rewrap_data_keys bulwark.shred_organization
  '),
  ('encryption', 'trigger', '
    bulwark.organizations:organizations_destroy_data_keys
    bulwark_private.data_keys:data_keys_keep_identity
  '),
  ('encryption', 'audited', '
    bulwark_private.key_encryption_keys bulwark_private.data_keys
    bulwark_private.shredded_organizations bulwark_private.encrypted_columns
  '),
  ('security_events', 'table', '
    bulwark.security_event_types bulwark.security_events bulwark.security_rules
    bulwark_private.deferred_security_events bulwark_private.security_progress
  '),
  ('security_events', 'function', '
    bulwark.assign_security_event bulwark.cleanup_security_events bulwark.evaluate_security_rules
    bulwark.list_security_events bulwark.report_security_event bulwark.resolve_security_event
  '),
  ('security_events', 'audited', '
    bulwark.security_events bulwark.security_event_types bulwark.security_rules
  '),
  ('mfa', 'table', '
    bulwark.mfa_resets bulwark.mfa_usage_log bulwark_private.mfa_accounts
    bulwark_private.mfa_attempts bulwark_private.mfa_required_tables
    bulwark_private.mfa_reset_consents
  '),
  ('mfa', 'function', '
    bulwark.approve_mfa_reset bulwark.begin_backup_codes bulwark.begin_mfa_attempt
    bulwark.begin_mfa_enrolment bulwark.cancel_mfa_reset bulwark.cleanup_mfa
    bulwark.complete_mfa_activation bulwark.complete_mfa_backup_code
    bulwark.complete_mfa_verification bulwark.end_session bulwark.mfa_compliance bulwark.mfa_status
    bulwark.mfa_uncovered_tables bulwark.my_sessions bulwark.open_mfa_attempt
    bulwark.present_trusted_device bulwark.remove_mfa_factor bulwark.request_mfa_reset
    bulwark.require_mfa bulwark.revoke_trusted_device bulwark.set_mfa_policy
    bulwark.store_backup_codes bulwark.store_mfa_secret bulwark.trust_device
  '),
  ('mfa', 'audited', '
    bulwark.mfa_resets bulwark_private.mfa_reset_consents bulwark_private.mfa_required_tables
  '),
  ('rate_limits', 'table', '
    bulwark.rate_limit_blocks bulwark.rate_limit_networks bulwark.rate_limit_overrides
    bulwark.rate_limit_rules bulwark_private.api_key_rules bulwark_private.known_networks
    bulwark_private.organization_api_keys bulwark_private.rate_limit_salt
    bulwark_private.rate_limit_violations bulwark_private.rate_limits
    bulwark_private.sign_in_places
  '),
  ('rate_limits', 'function', '
    bulwark.begin_login bulwark.check_rate_limit bulwark.check_rate_limits bulwark.check_request
    bulwark.cleanup_old_rate_limits bulwark.clear_rate_limit bulwark.finish_login
    bulwark.install_request_hook bulwark.lift_rate_limit_block bulwark.list_network
    bulwark.mfa_verification_attempt_hook bulwark.password_verification_attempt_hook
    bulwark.rate_limit_block_of bulwark.rate_limit_caller bulwark.rate_limit_rule
    bulwark.rate_limit_usage bulwark.record_rate_limit_denial bulwark.set_rate_limit
    bulwark.unlist_network
  '),
  ('rate_limits', 'audited', '
    bulwark.rate_limit_rules bulwark.rate_limit_overrides bulwark_private.rate_limit_salt
    bulwark.rate_limit_networks bulwark.rate_limit_blocks
  '),
  ('api_keys', 'table', '
    bulwark.api_key_policies bulwark.api_keys bulwark_private.api_key_hashes
    bulwark_private.api_key_holdings bulwark_private.api_key_lookups
    bulwark_private.api_key_member_roles bulwark_private.api_key_permissions
    bulwark_private.api_key_roles bulwark_private.api_key_states
    bulwark_private.api_key_table_access bulwark_private.api_key_uses
  '),
  ('api_keys', 'function', '
    bulwark.admit_api_keys bulwark.api_key_options bulwark.api_key_table_problems
    bulwark.create_api_key bulwark.exchange_api_key bulwark.expel_api_keys bulwark.list_api_keys
    bulwark.report_leaked_api_keys bulwark.revoke_api_key bulwark.rotate_api_key
    bulwark.set_api_key_policy
  '),
  ('api_keys', 'trigger', '
    bulwark.api_key_policies:api_key_policies_keep_columns
    bulwark.api_key_policies:api_key_policies_touch_updated_at
    bulwark.api_keys:api_keys_keep_columns bulwark.api_keys:api_keys_only_narrow
    bulwark.settings:settings_require_known_rules
    bulwark_private.api_key_hashes:api_key_hashes_keep_columns
  '),
  ('api_keys', 'audited', '
    bulwark.api_key_policies bulwark.api_keys bulwark_private.api_key_hashes
    bulwark_private.api_key_table_access
  '),
  ('metrics', 'table', '
    bulwark_private.alert_rules bulwark_private.alert_states bulwark_private.job_runs
    bulwark_private.metric_batches bulwark_private.metric_points bulwark_private.metric_series
    bulwark_private.metrics
  '),
  ('metrics', 'function', '
    bulwark.check_health bulwark.delete_alert_rule bulwark.evaluate_alerts bulwark.list_alerts
    bulwark.list_metrics bulwark.read_metric bulwark.record_metrics bulwark.roll_up_metrics
    bulwark.scrape_metrics bulwark.set_alert_rule bulwark.top_queries
  '),
  ('metrics', 'trigger', '
    bulwark_private.alert_rules:alert_rules_close_when_disabled
    bulwark_private.alert_rules:alert_rules_close_when_removed
  '),
  ('metrics', 'audited', '
    bulwark_private.alert_rules
  '),
  ('cache', 'function', '
    bulwark.my_permissions
  '),
  ('webhooks', 'table', '
    bulwark.webhook_attempts bulwark.webhook_deliveries bulwark.webhook_endpoint_health
    bulwark.webhook_endpoints bulwark.webhook_subscriptions bulwark_private.webhook_bodies
    bulwark_private.webhook_destinations bulwark_private.webhook_material
    bulwark_private.webhook_payloads bulwark_private.webhook_routes bulwark_private.webhook_secrets
    bulwark_private.webhook_turns bulwark_private.webhook_upgrades
  '),
  ('webhooks', 'function', '
    bulwark.claim_webhook_deliveries bulwark.complete_webhook_deliveries
    bulwark.continue_webhook_deliveries bulwark.create_webhook_endpoint
    bulwark.delete_webhook_endpoint bulwark.disable_webhook_endpoint
    bulwark.enable_webhook_endpoint bulwark.preview_webhook_delivery
    bulwark.prune_webhook_deliveries bulwark.replay_webhook_deliveries
    bulwark.replay_webhook_delivery bulwark.rotate_webhook_secret bulwark.send_test_webhook
    bulwark.set_webhook_destination bulwark.update_webhook_endpoint bulwark.webhook_stats
  '),
  ('webhooks', 'trigger', '
    bulwark.security_events:webhooks_take_raised bulwark.security_events:webhooks_take_resolved
    bulwark.webhook_endpoints:webhook_endpoints_keep_columns
    bulwark.webhook_endpoints:webhook_endpoints_touch_updated_at
  '),
  ('webhooks', 'audited', '
    bulwark.webhook_endpoints bulwark.webhook_subscriptions bulwark_private.webhook_destinations
    bulwark_private.webhook_secrets
  '),
  ('restores', 'table', '
    bulwark_private.known_privileges bulwark_private.present_privileges
  '),
  ('restores', 'function', '
    bulwark.close_privileges bulwark.empty_for_restore
  '),
  ('restores', 'trigger', '
    bulwark.audit_logs:audit_logs_stamp
  '),
  ('compliance', 'table', '
    bulwark.access_review_items bulwark.access_reviews bulwark_private.personal_tables
  '),
  ('compliance', 'function', '
    bulwark.close_access_review bulwark.compliance_report bulwark.decide_access
    bulwark.declare_personal_data bulwark.export_subject bulwark.list_access_review
    bulwark.remind_access_reviews bulwark.start_access_review
  '),
  ('compliance', 'trigger', '
    bulwark.access_review_items:access_review_items_keep_columns
    bulwark.access_review_items:access_review_items_stay_decided
    bulwark.access_reviews:access_reviews_keep_columns
    bulwark.access_reviews:access_reviews_stay_closed
  '),
  ('compliance', 'audited', '
    bulwark_private.personal_tables bulwark.access_reviews bulwark.access_review_items
  ');
create temporary table built_grants (
  noun text, kind text, privilege text, roles text, objects text
);
insert into built_grants values
  ('foundation',
  'schema',
  'usage',
  'anon authenticated service_role supabase_auth_admin', '
    bulwark
  '),
  ('foundation',
  'schema',
  'usage',
  'authenticated service_role supabase_auth_admin', '
    bulwark_private
  '),
  ('foundation', 'function', 'execute', 'authenticated', '
    bulwark.current_person()
  '),
  ('foundation', 'function', 'execute', 'service_role', '
    bulwark.version(); bulwark.installed_capabilities()
  '),
  ('rbac', 'table', 'select', 'authenticated service_role', '
    bulwark.permissions; bulwark.organizations; bulwark.roles; bulwark.role_permissions;
    bulwark.role_inheritance; bulwark.user_roles; bulwark.mfa_policies; bulwark.invitations
  '),
  ('rbac', 'function', 'execute', 'authenticated', '
    bulwark.is_super_admin(); bulwark.member_organizations(); bulwark.require_permission(text,
    uuid); bulwark.has_permission(text, uuid); bulwark.user_has_permission(uuid, text, uuid);
    bulwark.check_permissions(text[], uuid); bulwark.get_user_roles(uuid, uuid);
    bulwark.explain_permission(uuid, text, uuid); bulwark.mfa_required(uuid);
    bulwark_private.confirmed_email(); bulwark.accept_invitation(text); bulwark.my_invitations();
    bulwark.accept_my_invitation(uuid); bulwark.decline_invitation(uuid); bulwark.whoami(text);
    bulwark.leave_organization(uuid)
  '),
  ('rbac', 'function', 'execute', 'anon authenticated', '
    bulwark.preview_invitation(text)
  '),
  ('rbac', 'function', 'execute', 'api_key authenticated', '
    bulwark.organizations_with(text); bulwark.mfa_verified(interval)
  '),
  ('rbac', 'function', 'execute', 'authenticated service_role', '
    bulwark.list_settings(); bulwark.set_setting(text, json); bulwark.create_organization(text,
    text, uuid); bulwark.update_organization(uuid, text, text); bulwark.delete_organization(uuid,
    text); bulwark.grant_role(uuid, text, uuid, timestamptz, timestamptz);
    bulwark.revoke_role(uuid, text, uuid); bulwark.list_members(uuid, text, text, text, integer);
    bulwark.list_names(uuid, uuid[]); bulwark.set_member_roles(uuid, uuid, text[]);
    bulwark.remove_member(uuid, uuid); bulwark.create_role(uuid, text, text[], text[], text);
    bulwark.update_role(uuid, text, text, text[], text[], text); bulwark.delete_role(uuid, text);
    bulwark.invite_member(uuid, text, text, interval, timestamptz);
    bulwark.revoke_invitation(uuid); bulwark.list_invitations(uuid, text[], uuid, integer);
    bulwark.resend_invitation(uuid, interval)
  '),
  ('rbac', 'function', 'execute', 'service_role', '
    bulwark.user_has_permission(uuid, text, uuid); bulwark.get_user_roles(uuid, uuid);
    bulwark.explain_permission(uuid, text, uuid); bulwark.cleanup_invitations()
  '),
  ('rbac', 'function', 'execute', 'authenticated service_role', '
    bulwark.organization_id(text); bulwark_private.organization_of(text);
    bulwark_private.uuid_or_null(text)
  '),
  ('rbac', 'function', 'execute', 'supabase_auth_admin', '
    bulwark.custom_access_token_hook(jsonb); bulwark_private.next_access_token_hook();
    bulwark_private.add_organization_claims(jsonb)
  '),
  ('audit',
  'table',
  'select (tree_size, root_hash, key_id, note, signed_at, delivered_at)',
  'authenticated', '
    bulwark.audit_checkpoints
  '),
  ('audit', 'table', 'select', 'authenticated service_role', '
    bulwark.audit_event_types; bulwark.audit_logs; bulwark.audit_legal_holds;
    bulwark.audit_archives; bulwark.audit_archived_logs; bulwark.audit_archive_files;
    bulwark.audit_restored_logs
  '),
  ('audit',
  'table',
  'select (key_id, name, public_key, registered_at)',
  'authenticated service_role', '
    bulwark.audit_keys
  '),
  ('audit', 'table', 'select', 'service_role', '
    bulwark.audit_checkpoints
  '),
  ('audit', 'function', 'execute', 'authenticated', '
    bulwark_private.audited_organizations()
  '),
  ('audit', 'function', 'execute', 'authenticated service_role', '
    bulwark.log_audit_event( text, text, uuid, text, text, bulwark.audit_result,
    bulwark.audit_severity, jsonb, uuid, uuid ); bulwark.verify_audit_log(uuid, timestamptz,
    timestamptz, bigint, integer, integer); bulwark.audit_inclusion_proof(uuid);
    bulwark.audit_consistency_proof(bigint, bigint); bulwark.audit_group_nodes(bigint, bigint,
    bigint, uuid); bulwark.audit_status(); bulwark_private.audit_id_floor(timestamptz);
    bulwark_private.audit_id_time(uuid); bulwark_private.audit_entry_below(uuid, uuid, integer,
    boolean, uuid[]); bulwark_private.find_audit_entries(text, text, uuid, uuid, integer);
    bulwark_private.archived_audit_months(uuid, timestamptz, timestamptz);
    bulwark.search_audit_logs(uuid, timestamptz, timestamptz, text[], bulwark.audit_severity[],
    bulwark.audit_result[], uuid, text, text, uuid, text, uuid, integer, integer);
    bulwark.export_audit_log(uuid, text, integer, timestamptz, timestamptz, boolean, text);
    bulwark.audit_period(uuid, timestamptz, timestamptz); bulwark.audit_histogram(uuid,
    timestamptz, timestamptz, interval, text, uuid, text[], bulwark.audit_severity[], uuid, text,
    text); bulwark.tail_audit_log(uuid, text, integer); bulwark.audit_coverage(uuid);
    bulwark.place_legal_hold(text, uuid, uuid, text, text); bulwark.release_legal_hold(uuid);
    bulwark.erase_subject(uuid, text, uuid, boolean, uuid, integer, integer)
  '),
  ('audit', 'function', 'execute', 'service_role', '
    bulwark.seal_audit_log(); bulwark.audit_tree_head(); bulwark.store_audit_checkpoint(bigint,
    text, text, jsonb); bulwark.record_audit_delivery(bigint, text, text);
    bulwark.undelivered_audit_checkpoints(integer); bulwark.report_checkpoint_problem(text, jsonb);
    bulwark.check_audit_log(integer); bulwark.continue_audit_export(uuid, text, uuid);
    bulwark.note_audit_export(uuid, text, boolean, boolean, uuid);
    bulwark.cleanup_old_audit_logs(integer); bulwark.prune_audit_log(integer);
    bulwark.next_audit_archive(date); bulwark.check_audit_archive(date);
    bulwark.record_audit_archive_file(date, jsonb, jsonb); bulwark.forget_audit_archive_files(date,
    uuid); bulwark.finish_audit_archive(date, jsonb); bulwark.begin_audit_restore(date, text, uuid,
    boolean); bulwark.restore_audit_entries(date, bigint, jsonb, uuid, bigint);
    bulwark.discard_restored_audit_logs(integer)
  '),
  ('encryption', 'function', 'execute', 'authenticated', '
    bulwark.encryption_progress(uuid); bulwark.key_encryption_status()
  '),
  ('encryption', 'function', 'execute', 'authenticated service_role', '
    bulwark.shred_organization(uuid, text); bulwark.retry_reencryption(uuid);
    bulwark.encryption_overview(uuid); bulwark.authorize_field_access(text, text, text[], text[],
    uuid)
  '),
  ('encryption', 'function', 'execute', 'service_role', '
    bulwark.is_shredded(uuid); bulwark.find_key_encryption_key(text);
    bulwark.register_key_encryption_key(text, text, text, text, integer);
    bulwark.reserve_data_key(text, integer, uuid); bulwark.read_data_keys(uuid[]);
    bulwark.read_index_keys(uuid); bulwark.list_encrypted_columns(text);
    bulwark.organizations_by_key(text[]); bulwark.add_data_key(uuid, text, text, integer, uuid);
    bulwark.encryption_progress(uuid); bulwark.next_reencryption_batch(integer);
    bulwark.apply_reencryption_batch(bigint, text, jsonb, jsonb, text);
    bulwark.choose_key_encryption_key(text); bulwark.data_keys_to_rewrap(text, integer);
    bulwark.rewrap_data_keys(jsonb); bulwark.report_key_fault(text, text);
    bulwark.key_encryption_status()
  '),
  ('security_events', 'table', 'select', 'authenticated service_role', '
    bulwark.security_event_types; bulwark.security_events
  '),
  ('security_events', 'function', 'execute', 'authenticated service_role', '
    bulwark.list_security_events( uuid, boolean, bulwark.security_severity, uuid, integer, uuid,
    boolean, text ); bulwark.assign_security_event(uuid, uuid);
    bulwark.resolve_security_event(uuid, text)
  '),
  ('security_events', 'function', 'execute', 'service_role', '
    bulwark.report_security_event(text, uuid, uuid, text, jsonb);
    bulwark.evaluate_security_rules(); bulwark.cleanup_security_events(integer)
  '),
  ('mfa', 'table', 'select', 'authenticated service_role', '
    bulwark.mfa_usage_log; bulwark.mfa_resets
  '),
  ('mfa', 'function', 'execute', 'authenticated', '
    bulwark.begin_mfa_attempt(text); bulwark.begin_mfa_enrolment(); bulwark.begin_backup_codes();
    bulwark.remove_mfa_factor(uuid); bulwark.trust_device(text);
    bulwark.present_trusted_device(text); bulwark.revoke_trusted_device(uuid);
    bulwark.mfa_status(); bulwark.my_sessions(); bulwark.end_session(uuid);
    bulwark_private.mfa_resets_to_decide()
  '),
  ('mfa', 'function', 'execute', 'authenticated service_role', '
    bulwark.set_mfa_policy(uuid, boolean, interval, boolean); bulwark.mfa_compliance(uuid, text,
    uuid, integer); bulwark.request_mfa_reset(uuid, text, uuid); bulwark.approve_mfa_reset(uuid);
    bulwark.cancel_mfa_reset(uuid)
  '),
  ('mfa', 'function', 'execute', 'service_role', '
    bulwark.open_mfa_attempt(uuid); bulwark.complete_mfa_verification(uuid, uuid, bigint);
    bulwark.complete_mfa_backup_code(uuid, text); bulwark.store_mfa_secret(uuid, text, text);
    bulwark.complete_mfa_activation(uuid, uuid, bigint, text[]); bulwark.store_backup_codes(uuid,
    text[]); bulwark.cleanup_mfa()
  '),
  ('rate_limits', 'schema', 'usage', 'anon', '
    bulwark_private
  '),
  ('rate_limits', 'schema', 'usage', 'api_key', '
    bulwark; bulwark_private
  '),
  ('rate_limits', 'table', 'select', 'authenticated service_role', '
    bulwark.rate_limit_rules; bulwark.rate_limit_overrides; bulwark.rate_limit_networks;
    bulwark.rate_limit_blocks
  '),
  ('rate_limits',
  'function',
  'execute',
  'anon api_key authenticated service_role', '
    bulwark_private.charge_request(); bulwark_private.resolve_api_key(); bulwark.check_request()
  '),
  ('rate_limits', 'function', 'execute', 'api_key authenticated', '
    bulwark.rate_limit_caller()
  '),
  ('rate_limits', 'function', 'execute', 'authenticated service_role', '
    bulwark.rate_limit_usage(uuid); bulwark.set_rate_limit(text, integer, integer, uuid, uuid);
    bulwark.clear_rate_limit(text, uuid, uuid); bulwark.list_network(text, bulwark.network_verdict,
    text, timestamptz); bulwark.unlist_network(text); bulwark.lift_rate_limit_block(uuid)
  '),
  ('rate_limits', 'function', 'execute', 'service_role', '
    bulwark.check_rate_limit(text, uuid, uuid, text, text, uuid, integer, integer);
    bulwark.rate_limit_rule(text, uuid, uuid); bulwark.rate_limit_block_of(text, uuid, uuid, text,
    text); bulwark.record_rate_limit_denial(text, text[], text[], text, uuid, uuid, uuid);
    bulwark.check_rate_limits(text[], uuid[], text[]); bulwark.begin_login(text, text, text);
    bulwark.finish_login(text, text, uuid, real, real); bulwark.cleanup_old_rate_limits()
  '),
  ('rate_limits', 'function', 'execute', 'supabase_auth_admin', '
    bulwark.password_verification_attempt_hook(jsonb); bulwark.mfa_verification_attempt_hook(jsonb)
  '),
  ('api_keys', 'table', 'select', 'authenticated service_role', '
    bulwark.api_key_policies; bulwark.api_keys
  '),
  ('api_keys', 'function', 'execute', 'authenticated', '
    bulwark.api_key_options(uuid); bulwark.create_api_key(uuid, text, text[], timestamptz, text,
    text[], text); bulwark.rotate_api_key(uuid, interval, timestamptz)
  '),
  ('api_keys', 'function', 'execute', 'authenticated service_role', '
    bulwark.set_api_key_policy(uuid, boolean, integer); bulwark.revoke_api_key(uuid, text);
    bulwark.list_api_keys(uuid, boolean, uuid, integer)
  '),
  ('api_keys', 'function', 'execute', 'service_role', '
    bulwark.exchange_api_key(text, text); bulwark.report_leaked_api_keys(jsonb)
  '),
  ('metrics', 'function', 'execute', 'authenticated service_role', '
    bulwark.read_metric(text, timestamptz, timestamptz, jsonb, interval, text);
    bulwark.list_metrics(); bulwark.scrape_metrics(); bulwark.top_queries(integer);
    bulwark.list_alerts(); bulwark.check_health(); bulwark.delete_alert_rule(text);
    bulwark.set_alert_rule(text, text, bulwark.metric_statistic, double precision, double
    precision, jsonb, interval, interval, interval, interval, bigint, boolean, boolean, text)
  '),
  ('metrics', 'function', 'execute', 'service_role', '
    bulwark.record_metrics(uuid, jsonb)
  '),
  ('cache', 'function', 'execute', 'authenticated', '
    bulwark.my_permissions(uuid, text)
  '),
  ('webhooks', 'table', 'select', 'authenticated service_role', '
    bulwark.webhook_endpoints; bulwark.webhook_subscriptions; bulwark.webhook_endpoint_health;
    bulwark.webhook_deliveries; bulwark.webhook_attempts
  '),
  ('webhooks', 'function', 'execute', 'authenticated service_role', '
    bulwark.create_webhook_endpoint(uuid, uuid, text, text, text, uuid, text, jsonb,
    bulwark.webhook_format, bulwark.webhook_ordering, boolean, boolean, boolean);
    bulwark.update_webhook_endpoint(uuid, text, bulwark.webhook_ordering, boolean, boolean, jsonb);
    bulwark.set_webhook_destination(uuid, text, text); bulwark.rotate_webhook_secret(uuid, uuid,
    text, interval); bulwark.disable_webhook_endpoint(uuid); bulwark.enable_webhook_endpoint(uuid);
    bulwark.delete_webhook_endpoint(uuid); bulwark.replay_webhook_delivery(uuid);
    bulwark.replay_webhook_deliveries( uuid, timestamptz, timestamptz,
    bulwark.webhook_delivery_status[] ); bulwark.send_test_webhook(uuid);
    bulwark.webhook_stats(uuid, timestamptz); bulwark.preview_webhook_delivery(uuid, uuid)
  '),
  ('webhooks', 'function', 'execute', 'service_role', '
    bulwark.claim_webhook_deliveries(text, integer, integer, uuid, uuid[], uuid[], integer);
    bulwark.complete_webhook_deliveries(jsonb); bulwark.prune_webhook_deliveries(integer);
    bulwark.continue_webhook_deliveries(integer)
  '),
  ('compliance', 'table', 'select', 'authenticated service_role', '
    bulwark.access_reviews; bulwark.access_review_items
  '),
  ('compliance', 'function', 'execute', 'authenticated service_role', '
    bulwark.compliance_report(uuid, timestamptz, timestamptz); bulwark.export_subject(uuid, uuid,
    text, integer); bulwark.start_access_review(uuid, text, timestamptz, uuid[]);
    bulwark.list_access_review(uuid, boolean, uuid, integer); bulwark.close_access_review(uuid)
  '),
  ('compliance', 'function', 'execute', 'authenticated', '
    bulwark.decide_access(uuid, bulwark.access_review_decision, text, text)
  '),
  ('compliance', 'function', 'execute', 'service_role', '
    bulwark.remind_access_reviews()
  ');
create temporary table built_policies (
  noun text, relation text, command text, roles text, name text
);
insert into built_policies values
  ('api_keys', 'bulwark.api_key_policies', 'select', 'authenticated',
    'Members read what their organizations decided about API keys'),
  ('api_keys', 'bulwark.api_keys', 'select', 'authenticated',
    'Owners read their API keys, members with api_key:read all'),
  ('audit', 'bulwark.audit_archive_files', 'select', 'authenticated',
    'Members read where their organizations'' logs are archived'),
  ('audit', 'bulwark.audit_archived_logs', 'select', 'authenticated',
    'Members read which months of their logs are archived'),
  ('audit', 'bulwark.audit_archives', 'select', 'authenticated',
    'A super_admin reads which months are archived'),
  ('audit', 'bulwark.audit_checkpoints', 'select', 'authenticated',
    'Anyone signed in reads checkpoints'),
  ('audit', 'bulwark.audit_event_types', 'select', 'authenticated',
    'Anyone signed in reads the catalogue of event types'),
  ('audit', 'bulwark.audit_keys', 'select', 'authenticated',
    'Anyone signed in reads the keys of checkpoints'),
  ('audit', 'bulwark.audit_legal_holds', 'select', 'authenticated',
    'Compliance officers read the holds of their organizations'),
  ('audit', 'bulwark.audit_logs', 'select', 'authenticated',
    'Members read the audit log of organizations where they may'),
  ('audit', 'bulwark.audit_restored_logs', 'select', 'authenticated',
    'Members read the restored log of organizations where they may'),
  ('compliance', 'bulwark.access_review_items', 'select', 'authenticated',
    'Members read what is reviewed in organizations where they may'),
  ('compliance', 'bulwark.access_reviews', 'select', 'authenticated',
    'Members read access reviews of organizations where they may'),
  ('mfa', 'bulwark.mfa_policies', 'select', 'authenticated',
    'Members read what their organizations ask of second factors'),
  ('mfa', 'bulwark.mfa_resets', 'select', 'authenticated',
    'Users read resets of their own, members those they may decide'),
  ('mfa', 'bulwark.mfa_usage_log', 'select', 'authenticated',
    'Users read the log of their own factors'),
  ('rate_limits', 'bulwark.rate_limit_blocks', 'select', 'authenticated',
    'Members read blocks of their organizations'' API keys'),
  ('rate_limits', 'bulwark.rate_limit_networks', 'select', 'authenticated',
    'Super admins read the lists of networks'),
  ('rate_limits', 'bulwark.rate_limit_overrides', 'select', 'authenticated',
    'Members read the overrides of their organizations'),
  ('rate_limits', 'bulwark.rate_limit_rules', 'select', 'authenticated',
    'Anyone signed in reads the rules'),
  ('rbac', 'bulwark.invitations', 'select', 'authenticated',
    'Inviters read what they sent, invitees what was sent to them'),
  ('rbac', 'bulwark.organizations', 'select', 'authenticated',
    'Members read their organizations'),
  ('rbac', 'bulwark.permissions', 'select', 'authenticated',
    'Anyone signed in reads the catalogue of permissions'),
  ('rbac', 'bulwark.role_inheritance', 'select', 'authenticated',
    'Readers of a role read its inheritance'),
  ('rbac', 'bulwark.role_permissions', 'select', 'authenticated',
    'Readers of a role read its permissions'),
  ('rbac', 'bulwark.roles', 'select', 'authenticated',
    'Anyone signed in reads system roles, members their own'),
  ('rbac', 'bulwark.user_roles', 'select', 'authenticated',
    'Users read their own grants, members those of all'),
  ('security_events', 'bulwark.security_event_types', 'select', 'authenticated',
    'Anyone signed in reads the catalogue of security event types'),
  ('security_events', 'bulwark.security_events', 'select', 'authenticated',
    'Members read security events of organizations where they may'),
  ('webhooks', 'bulwark.webhook_attempts', 'select', 'authenticated',
    'Readers of a delivery read its attempts'),
  ('webhooks', 'bulwark.webhook_deliveries', 'select', 'authenticated',
    'Members read deliveries of what they may read, where they may'),
  ('webhooks', 'bulwark.webhook_endpoint_health', 'select', 'authenticated',
    'Readers of an endpoint read its health'),
  ('webhooks', 'bulwark.webhook_endpoints', 'select', 'authenticated',
    'Members read webhook endpoints of organizations where they may'),
  ('webhooks', 'bulwark.webhook_subscriptions', 'select', 'authenticated',
    'Readers of an endpoint read its subscriptions');

-- Null for what is not there, also if a type in its signature is not.
create function pg_temp.object_of(kind text, name text) returns oid language plpgsql as $$
begin
  return case coalesce(kind, 'table')
    when 'function' then to_regprocedure(name)::oid
    when 'schema' then to_regnamespace(name)::oid
    else to_regclass(name)::oid
  end;
exception
  when undefined_object or undefined_function or invalid_schema_name then
    return null;
end;
$$;
create temporary view built as
  select b.noun, b.kind, n.name
  from built_objects b
  cross join regexp_split_to_table(btrim(b.names, E' \n'), '\s+') as n (name);
-- A capability is installed if any of its tables is there. One without tables has functions alone.
create temporary view installed as
  select distinct b.noun
  from built b
  where b.kind = 'table' and to_regclass(b.name) is not null
    or b.kind = 'function'
    and not exists (select from built t where t.noun = b.noun and t.kind = 'table')
    and exists (
      select from pg_catalog.pg_proc p
      where p.pronamespace = to_regnamespace(split_part(b.name, '.', 1))
        and p.proname = split_part(b.name, '.', 2)
    );
create temporary view present_tables as
  select c.oid, c.oid::regclass::text as name, c.relkind, c.relrowsecurity, c.reloptions,
    c.relowner, n.nspname as schema, coalesce(c.relacl, acldefault('r', c.relowner)) as acl
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and (
    n.nspname = 'bulwark_private'
    or n.nspname = 'bulwark'
      and format('bulwark.%I', c.relname) in (select b.name from built b where b.kind = 'table')
  );
create temporary view present_functions as
  select p.oid, p.oid::regprocedure::text as name, p.prosecdef, p.proconfig, p.prorettype,
    p.proowner, n.nspname as schema, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
  from pg_catalog.pg_proc p
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'bulwark_private'
    or n.nspname = 'bulwark'
      and format('bulwark.%I', p.proname) in (select b.name from built b where b.kind = 'function');
create temporary view clients as
  select r.oid, r.rolname as name from pg_catalog.pg_roles r
  where r.rolname in ('anon', 'authenticated', 'service_role', 'api_key', 'authenticator');

create temporary view expected_grants as
  select g.kind, pg_temp.object_of(g.kind, n.name) as oid, n.name, r.role, p.privilege
  from built_grants g
  cross join lateral (
    select btrim(regexp_replace(s, '\s+', ' ', 'g')) as name
    from regexp_split_to_table(g.objects, ';') as s
  ) n
  cross join regexp_split_to_table(g.roles, ' ') as r (role)
  cross join lateral (
    -- select (a, b) is a privilege on each of the columns.
    select case when g.privilege ~ '[(]'
      then concat(split_part(g.privilege, ' ', 1), '(', btrim(c), ')') else g.privilege end
    from regexp_split_to_table(coalesce(substring(g.privilege from '[(](.*)[)]'), '-'), ',') as c
  ) p (privilege)
  where n.name <> '' and g.noun in (select i.noun from installed i);
create temporary view present_grants as
  select a.kind, a.oid, a.name, coalesce(r.rolname, 'public')::text as role, a.privilege
  from (
    select 'table' as kind, t.oid, t.name, t.relowner as owner, e.grantee,
      lower(e.privilege_type) as privilege
    from present_tables t cross join aclexplode(t.acl) e
    union all
    select 'table', t.oid, t.name, t.relowner, e.grantee,
      format('%s(%s)', lower(e.privilege_type), c.attname)
    from present_tables t
    join pg_catalog.pg_attribute c on c.attrelid = t.oid and c.attacl is not null
    cross join aclexplode(c.attacl) e
    union all
    select 'function', f.oid, f.name, f.proowner, e.grantee, lower(e.privilege_type)
    from present_functions f cross join aclexplode(f.acl) e
    union all
    select 'schema', n.oid, n.nspname, n.nspowner, e.grantee, lower(e.privilege_type)
    from pg_catalog.pg_namespace n
    cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) e
    where n.nspname in ('bulwark', 'bulwark_private')
  ) a
  left join pg_catalog.pg_roles r on r.oid = a.grantee
  where a.grantee <> a.owner;

-- objects
select is_empty(
  $$ select n from unnest('{bulwark, bulwark_private}'::text[]) n
     where to_regnamespace(n) is null $$,
  'INST-01: Bulwark is installed'
);
select is_empty(
  $$ select b.noun, b.name from built b join installed i using (noun)
     where b.kind = 'table' and to_regclass(b.name) is null $$,
  'INST-02: no table of an installed capability is missing'
);
select is_empty(
  $$ select name from present_tables where relkind in ('r', 'p') and not relrowsecurity $$,
  'INST-03: row-level security is on for every table'
);
select is_empty(
  $$ select name from present_tables
     where relkind = 'v'
       and not coalesce(reloptions, '{}') && '{security_invoker=true,security_invoker=on}' $$,
  'INST-04: every view runs with the rights of its reader'
);
select is_empty(
  $$ select name from present_functions
     where not 'search_path=pg_catalog, pg_temp' = any (coalesce(proconfig, '{}')) $$,
  'INST-05: every function, and so each SECURITY DEFINER one, pins its search path'
);
select is_empty(
  $$ select o.name from (
       select name, relowner as owner from present_tables
       union all select name, proowner from present_functions
       union all select nspname, nspowner from pg_catalog.pg_namespace
       where nspname in ('bulwark', 'bulwark_private')
     ) o
     where exists (select from clients c where pg_has_role(c.oid, o.owner, 'member')) $$,
  'INST-06: no role of the API owns anything of Bulwark, or is a member of the owner'
);

-- privileges
select is_empty(
  $$ select p.name, p.role, p.privilege from present_grants p
     where not exists (
       select from expected_grants e
       where e.kind = p.kind and e.oid = p.oid and e.role = p.role and e.privilege = p.privilege
     ) $$,
  'INST-07: nobody has a privilege that no migration granted'
);
select is_empty(
  $$ select e.name, e.role, e.privilege from expected_grants e
     where not exists (
       select from present_grants p
       where p.kind = e.kind and p.oid = e.oid and p.role = e.role and p.privilege = e.privilege
     ) $$,
  'INST-08: and every privilege that was granted is there'
);
select is_empty(
  $$ select t.name, c.name from present_tables t cross join clients c
     where has_table_privilege(
         c.oid, t.oid, 'insert, update, delete, truncate, references, trigger'
       )
       or has_any_column_privilege(c.oid, t.oid, 'insert, update, references') $$,
  'INST-09: no role of the API writes a table, also not through another role'
);
select is_empty(
  $$ select t.name, c.name from present_tables t cross join clients c
     where t.schema = 'bulwark_private' and (
       has_table_privilege(c.oid, t.oid, 'select')
       or has_any_column_privilege(c.oid, t.oid, 'select')
     ) $$,
  'INST-10: nor reads one of bulwark_private'
);
select is_empty(
  $$ select s.relname, c.name
     from pg_catalog.pg_class s
     join pg_catalog.pg_namespace n on n.oid = s.relnamespace
     cross join clients c
     where s.relkind = 'S' and n.nspname in ('bulwark', 'bulwark_private')
       and has_sequence_privilege(c.oid, s.oid, 'usage, select, update') $$,
  'INST-11: nor reaches a sequence'
);
select is_empty(
  $$ select c.name, n.nspname from clients c cross join pg_catalog.pg_namespace n
     where n.nspname in ('bulwark', 'bulwark_private')
       and has_schema_privilege(c.oid, n.oid, 'create') $$,
  'INST-12: no role of the API makes anything in the schemas'
);
select is_empty(
  $$ select f.name, c.name from present_functions f cross join clients c
     where f.prorettype = 'trigger'::regtype and has_function_privilege(c.oid, f.oid, 'execute') $$,
  'INST-13: nor calls a trigger function'
);
select is_empty(
  $$ select s.setting
     from pg_catalog.pg_db_role_setting d
     cross join unnest(d.setconfig) as s (setting)
     where d.setrole in (0, to_regrole('authenticator'))
       and s.setting ~ '^pgrst\.db_schemas?=.*\mbulwark_private\M' $$,
  'INST-14: the Data API does not expose bulwark_private, as far as the database knows'
);

-- policies
create temporary view present_policies as
  select format('%I.%I', n.nspname, c.relname) as relation,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
      when 'd' then 'delete' else 'all' end as command,
    (
      select string_agg(coalesce(r.rolname, 'public'), ' ' order by r.rolname)
      from unnest(p.polroles) as m (role) left join pg_catalog.pg_roles r on r.oid = m.role
    ) as roles, p.polname::text as name, p.polpermissive
  from pg_catalog.pg_policy p
  join pg_catalog.pg_class c on c.oid = p.polrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join present_tables t on t.oid = c.oid;
select is_empty(
  $$ select relation, command, roles, name from present_policies where polpermissive
     except select relation, command, roles, name from built_policies $$,
  'INST-15: no policy opens a table of Bulwark but those that were built'
);
select is_empty(
  $$ select relation, command, roles, name from built_policies
     where noun in (select i.noun from installed i)
     except select relation, command, roles, name from present_policies where polpermissive $$,
  'INST-16: and each of them is there'
);

-- triggers
create temporary view built_triggers as
  select b.noun, split_part(b.name, ':', 1) as relation, split_part(b.name, ':', 2) as name
  from built b join installed i using (noun)
  where b.kind = 'trigger';
select is_empty(
  $$ select b.relation, b.name from built_triggers b
     where not exists (
       select from pg_catalog.pg_trigger t
       where t.tgrelid = to_regclass(b.relation) and t.tgname = b.name
         and t.tgenabled in ('O', 'A')
     ) $$,
  'INST-17: every trigger is there and enabled, also those on the auth schema'
);
select is_empty(
  $$ select b.name, o.operation
     from built b join installed i using (noun)
     cross join unnest('{insert, update, delete, truncate}'::text[]) as o (operation)
     where b.kind = 'audited' and not exists (
       select from pg_catalog.pg_trigger t
       where t.tgrelid = to_regclass(b.name) and t.tgname = 'bulwark_audit_' || o.operation
         and t.tgenabled = 'A'
     ) $$,
  'INST-18: changes of tables that decide are audited, whatever session_replication_role is'
);
select is_empty(
  $$ select t.tgrelid::regclass, t.tgname from pg_catalog.pg_trigger t
     join present_functions f on f.oid = t.tgfoid
     where t.tgenabled in ('D', 'R') $$,
  'INST-19: no trigger of Bulwark is disabled, on tables of the project either'
);

-- roles and hooks
select is_empty(
  $$ select r.rolname from pg_catalog.pg_roles r
     where r.rolname = 'api_key' and (
       r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb
       or r.rolreplication
       or exists (select from pg_catalog.pg_auth_members m where m.member = r.oid)
       or not pg_has_role('authenticator', r.oid, 'member')
     ) $$,
  'INST-20: the role of API keys has no rights of its own, and the Data API may take it'
);
select is_empty(
  $$ select f.name from present_functions f
     where f.schema = 'bulwark' and f.name ~ 'custom_access_token_hook\(|_attempt_hook\('
       and not has_function_privilege('supabase_auth_admin', f.oid, 'execute') $$,
  'INST-21: Supabase Auth may call its hooks'
);
create function pg_temp.rows_of(query text, needs text) returns setof text language plpgsql as $$
begin
  if pg_temp.object_of(case when needs ~ '[(]' then 'function' end, needs) is not null then
    return query execute query;
  end if;
end;
$$;
select is_empty(
  $$ select pg_temp.rows_of(
       $q$ select s.value #>> '{}' from bulwark.settings s
           where s.value <> 'null' and to_regproc(s.value #>> '{}') is null
             and s.name in ('rbac.next_access_token_hook', 'rate_limits.next_request_check') $q$,
       'bulwark.settings'
     ) $$,
  'INST-22: the hooks of the project that settings name exist'
);

-- tables of the project that Bulwark guards
select is_empty(
  $$ select pg_temp.rows_of(
       'select concat_ws('': '', relation, role, problem) from bulwark.mfa_uncovered_tables()',
       'bulwark.mfa_uncovered_tables()'
     ) $$,
  'INST-23: nothing goes around a second factor that a table requires'
);
select is_empty(
  $$ select pg_temp.rows_of(
       'select concat_ws('': '', relation, problem) from bulwark.api_key_table_problems()',
       'bulwark.api_key_table_problems()'
     ) $$,
  'INST-24: no table is open to API keys but those that were admitted'
);

select * from finish();
rollback;
