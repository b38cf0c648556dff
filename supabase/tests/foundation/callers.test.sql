-- The roles that may call each function, in one list. It has every function of schema bulwark, and
-- each of bulwark_private that a role other than its owner may call.
begin;
set local search_path = bulwark, public, extensions;
select plan(2);

create temporary table listed (callers text, functions text);
insert into listed values
  -- Operators alone, as the owner (postgres).
  ('owner', '
    bulwark.accept_audit_key bulwark.admit_api_keys bulwark.api_key_table_problems
    bulwark.close_privileges bulwark.declare_encrypted_column bulwark.declare_key_found
    bulwark.declare_key_lost bulwark.declare_personal_data bulwark.disable_audit
    bulwark.empty_for_restore bulwark.enable_audit bulwark.evaluate_alerts
    bulwark.expel_api_keys bulwark.install_request_hook bulwark.keep_columns
    bulwark.mfa_uncovered_tables bulwark.raise_security_event bulwark.read_native_mfa
    bulwark.refresh_audit_fingerprints bulwark.release_members bulwark.release_organizations
    bulwark.require_mfa bulwark.roll_up_metrics bulwark.schedule_jobs bulwark.use_members
    bulwark.use_organizations
  '),
  ('authenticated', '
    bulwark.accept_invitation bulwark.begin_backup_codes bulwark.begin_mfa_attempt
    bulwark.begin_mfa_enrolment bulwark.check_permissions bulwark.create_api_key
    bulwark.decide_access bulwark.current_person bulwark.has_permission bulwark.is_super_admin
    bulwark.member_organizations bulwark.mfa_required bulwark.mfa_status bulwark.my_permissions
    bulwark.present_trusted_device bulwark.remove_mfa_factor bulwark.require_permission
    bulwark.revoke_trusted_device bulwark.rotate_api_key bulwark.trust_device
    bulwark.accept_my_invitation bulwark.decline_invitation bulwark.leave_organization
    bulwark.my_invitations bulwark.whoami
    bulwark_private.audited_organizations bulwark_private.confirmed_email
    bulwark_private.mfa_resets_to_decide
    bulwark.api_key_options bulwark.end_session bulwark.my_sessions
  '),
  ('service_role', '
    bulwark.add_data_key bulwark.apply_reencryption_batch bulwark.audit_tree_head
    bulwark.begin_login bulwark.check_audit_log bulwark.check_rate_limit
    bulwark.check_rate_limits bulwark.choose_key_encryption_key bulwark.claim_webhook_deliveries
    bulwark.remind_access_reviews bulwark.cleanup_invitations bulwark.cleanup_mfa
    bulwark.cleanup_old_audit_logs
    bulwark.cleanup_old_rate_limits bulwark.cleanup_security_events
    bulwark.complete_mfa_activation bulwark.complete_mfa_backup_code
    bulwark.complete_mfa_verification bulwark.complete_webhook_deliveries
    bulwark.continue_audit_export bulwark.continue_webhook_deliveries
    bulwark.data_keys_to_rewrap bulwark.evaluate_security_rules bulwark.exchange_api_key
    bulwark.find_key_encryption_key bulwark.finish_login bulwark.installed_capabilities
    bulwark.is_shredded bulwark.list_encrypted_columns bulwark.next_reencryption_batch
    bulwark.note_audit_export bulwark.open_mfa_attempt bulwark.organizations_by_key
    bulwark.begin_audit_restore bulwark.check_audit_archive bulwark.discard_restored_audit_logs
    bulwark.finish_audit_archive bulwark.forget_audit_archive_files bulwark.next_audit_archive
    bulwark.record_audit_archive_file bulwark.restore_audit_entries
    bulwark.prune_audit_log bulwark.prune_webhook_deliveries
    bulwark.rate_limit_block_of bulwark.rate_limit_rule bulwark.read_data_keys
    bulwark.read_index_keys bulwark.record_audit_delivery bulwark.record_metrics
    bulwark.record_rate_limit_denial bulwark.register_key_encryption_key
    bulwark.report_checkpoint_problem bulwark.report_key_fault bulwark.report_leaked_api_keys
    bulwark.report_security_event bulwark.reserve_data_key
    bulwark.rewrap_data_keys bulwark.seal_audit_log bulwark.store_audit_checkpoint
    bulwark.store_backup_codes bulwark.store_mfa_secret bulwark.undelivered_audit_checkpoints
    bulwark.version
  '),
  ('supabase_auth_admin', '
    bulwark.custom_access_token_hook bulwark.mfa_verification_attempt_hook
    bulwark.password_verification_attempt_hook bulwark_private.add_organization_claims
    bulwark_private.next_access_token_hook
  '),
  ('anon authenticated', 'bulwark.preview_invitation'),
  ('api_key authenticated', '
    bulwark.mfa_verified bulwark.organizations_with bulwark.rate_limit_caller
  '),
  ('authenticated service_role', '
    bulwark.approve_mfa_reset bulwark.assign_security_event bulwark.audit_consistency_proof
    bulwark.audit_group_nodes bulwark.audit_inclusion_proof bulwark.audit_status
    bulwark.authorize_field_access bulwark.cancel_mfa_reset bulwark.clear_rate_limit
    bulwark.create_organization bulwark.create_role bulwark.create_webhook_endpoint
    bulwark.audit_coverage bulwark.audit_histogram bulwark.audit_period
    bulwark.compliance_report
    bulwark.check_health
    bulwark.delete_alert_rule
    bulwark.encryption_overview bulwark.mfa_compliance bulwark.retry_reencryption
    bulwark.list_settings bulwark.preview_webhook_delivery bulwark.rate_limit_usage
    bulwark.set_setting bulwark.tail_audit_log bulwark.webhook_stats
    bulwark.delete_organization bulwark.delete_role bulwark.delete_webhook_endpoint
    bulwark.disable_webhook_endpoint bulwark.enable_webhook_endpoint bulwark.encryption_progress
    bulwark.close_access_review bulwark.list_access_review bulwark.start_access_review
    bulwark.erase_subject bulwark.explain_permission bulwark.export_audit_log
    bulwark.export_subject
    bulwark.get_user_roles bulwark.grant_role bulwark.invite_member
    bulwark.key_encryption_status bulwark.lift_rate_limit_block bulwark.list_alerts
    bulwark.list_api_keys bulwark.list_members bulwark.list_metrics bulwark.list_names
    bulwark.list_invitations bulwark.list_network bulwark.list_security_events
    bulwark.remove_member bulwark.resend_invitation bulwark.set_member_roles
    bulwark.log_audit_event bulwark.organization_id bulwark.place_legal_hold bulwark.read_metric
    bulwark.release_legal_hold bulwark.replay_webhook_deliveries bulwark.replay_webhook_delivery
    bulwark.request_mfa_reset bulwark.resolve_security_event bulwark.revoke_api_key
    bulwark.revoke_invitation bulwark.revoke_role bulwark.rotate_webhook_secret
    bulwark.scrape_metrics bulwark.search_audit_logs bulwark.send_test_webhook
    bulwark.set_alert_rule bulwark.set_api_key_policy bulwark.set_mfa_policy
    bulwark.set_rate_limit bulwark.set_webhook_destination bulwark.shred_organization
    bulwark.top_queries bulwark.unlist_network bulwark.update_organization bulwark.update_role
    bulwark.update_webhook_endpoint bulwark.user_has_permission bulwark.verify_audit_log
    bulwark_private.archived_audit_months bulwark_private.audit_id_floor
    bulwark_private.audit_entry_below bulwark_private.audit_id_time
    bulwark_private.find_audit_entries
    bulwark_private.organization_of
    bulwark_private.uuid_or_null
  '),
  ('anon api_key authenticated service_role', '
    bulwark.check_request bulwark_private.charge_request bulwark_private.resolve_api_key
  ');

create temporary view expected as
  select f.name, l.callers
  from listed l
  cross join regexp_split_to_table(btrim(l.functions, E' \n'), '\s+') as f (name)
  where tests.is_expected(f.name);
create temporary view actual as
  select concat(n.nspname, '.', p.proname) as name, coalesce((
    select string_agg(distinct coalesce(r.rolname, 'public') collate "C", ' ')
    from aclexplode(p.proacl) a
    left join pg_roles r on r.oid = a.grantee
    where a.grantee <> p.proowner
  ), 'owner') as callers
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ('bulwark', 'bulwark_private')
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');
select is_empty(
  $$ select a.name, a.callers from actual a
     where starts_with(a.name, 'bulwark.') or a.callers <> 'owner'
     except select e.name, e.callers from expected e $$,
  'CONV-35: nobody calls a function but those whom the list names'
);
select is_empty(
  $$ select e.name, e.callers from expected e except select a.name, a.callers from actual a $$,
  'CONV-36: and everybody whom it names may'
);

select * from finish();
rollback;
