export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "bulwark": {
    Tables: {
      "access_review_items": {
        Row: {
          "access": NonNullable<Json>;
          "api_key_id": string | null;
          "decided_at": string | null;
          "decided_by": string | null;
          "decision": Database["bulwark"]["Enums"]["access_review_decision"] | null;
          "id": string;
          "note": string | null;
          "organization_id": string;
          "outcome": Database["bulwark"]["Enums"]["access_review_outcome"] | null;
          "review_id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "access": NonNullable<Json>;
          "api_key_id"?: string | null;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "decision"?: Database["bulwark"]["Enums"]["access_review_decision"] | null;
          "id"?: string;
          "note"?: string | null;
          "organization_id": string;
          "outcome"?: Database["bulwark"]["Enums"]["access_review_outcome"] | null;
          "review_id": string;
          "user_id": string;
        };
        Update: {
          "access"?: NonNullable<Json>;
          "api_key_id"?: string | null;
          "decided_at"?: string | null;
          "decided_by"?: string | null;
          "decision"?: Database["bulwark"]["Enums"]["access_review_decision"] | null;
          "id"?: string;
          "note"?: string | null;
          "organization_id"?: string;
          "outcome"?: Database["bulwark"]["Enums"]["access_review_outcome"] | null;
          "review_id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "access_review_items_review_id_fkey";
            columns: ["review_id"];
            isOneToOne: false;
            referencedRelation: "access_reviews";
            referencedColumns: ["id"];
          },
        ];
      };
      "access_reviews": {
        Row: {
          "closed_at": string | null;
          "closed_by": string | null;
          "due_at": string;
          "id": string;
          "name": string;
          "organization_id": string;
          "reminded_at": string | null;
          "reviewers": (string)[];
          "started_at": string;
          "started_by": string | null;
        };
        ComputedFields: never;
        Insert: {
          "closed_at"?: string | null;
          "closed_by"?: string | null;
          "due_at": string;
          "id"?: string;
          "name": string;
          "organization_id": string;
          "reminded_at"?: string | null;
          "reviewers": (string)[];
          "started_at"?: string;
          "started_by"?: string | null;
        };
        Update: {
          "closed_at"?: string | null;
          "closed_by"?: string | null;
          "due_at"?: string;
          "id"?: string;
          "name"?: string;
          "organization_id"?: string;
          "reminded_at"?: string | null;
          "reviewers"?: (string)[];
          "started_at"?: string;
          "started_by"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "access_reviews_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "api_key_policies": {
        Row: {
          "allowed": boolean;
          "decided_with_mfa": boolean;
          "max_days": number | null;
          "organization_id": string;
          "updated_at": string;
          "updated_by": string | null;
        };
        ComputedFields: never;
        Insert: {
          "allowed": boolean;
          "decided_with_mfa": boolean;
          "max_days"?: number | null;
          "organization_id": string;
          "updated_at"?: string;
          "updated_by"?: string | null;
        };
        Update: {
          "allowed"?: boolean;
          "decided_with_mfa"?: boolean;
          "max_days"?: number | null;
          "organization_id"?: string;
          "updated_at"?: string;
          "updated_by"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "api_key_policies_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: true;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "api_keys": {
        Row: {
          "created_at": string;
          "environment": string;
          "expires_at": string;
          "first_characters": string;
          "id": string;
          "issued_with_mfa": boolean;
          "name": string;
          "networks": (unknown)[] | null;
          "organization_id": string;
          "owner_id": string;
          "rate_limit_rule": string;
          "revoked_at": string | null;
          "revoked_because": string | null;
          "revoked_by": string | null;
          "rotated_from": string | null;
          "scopes": (string)[];
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "environment": string;
          "expires_at": string;
          "first_characters": string;
          "id"?: string;
          "issued_with_mfa": boolean;
          "name": string;
          "networks"?: (unknown)[] | null;
          "organization_id": string;
          "owner_id": string;
          "rate_limit_rule": string;
          "revoked_at"?: string | null;
          "revoked_because"?: string | null;
          "revoked_by"?: string | null;
          "rotated_from"?: string | null;
          "scopes": (string)[];
        };
        Update: {
          "created_at"?: string;
          "environment"?: string;
          "expires_at"?: string;
          "first_characters"?: string;
          "id"?: string;
          "issued_with_mfa"?: boolean;
          "name"?: string;
          "networks"?: (unknown)[] | null;
          "organization_id"?: string;
          "owner_id"?: string;
          "rate_limit_rule"?: string;
          "revoked_at"?: string | null;
          "revoked_because"?: string | null;
          "revoked_by"?: string | null;
          "rotated_from"?: string | null;
          "scopes"?: (string)[];
        };
        Relationships: [
          {
            foreignKeyName: "api_keys_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "api_keys_rate_limit_rule_fkey";
            columns: ["rate_limit_rule"];
            isOneToOne: false;
            referencedRelation: "rate_limit_rules";
            referencedColumns: ["name"];
          },
          {
            foreignKeyName: "api_keys_rotated_from_fkey";
            columns: ["rotated_from"];
            isOneToOne: true;
            referencedRelation: "api_keys";
            referencedColumns: ["id"];
          },
        ];
      };
      "audit_archive_files": {
        Row: {
          "after": string | null;
          "bytes": number;
          "cursor": string;
          "entries": number;
          "etag": string;
          "key": string;
          "month": string;
          "number": number;
          "organization_id": string | null;
          "parquet_bytes": number;
          "parquet_etag": string;
          "parquet_key": string;
          "parquet_sha256": string;
          "place": string;
          "removed": number;
          "sha256": string;
          "snapshot": unknown;
          "verified_at": string;
        };
        ComputedFields: never;
        Insert: {
          "after"?: string | null;
          "bytes": number;
          "cursor": string;
          "entries": number;
          "etag": string;
          "key": string;
          "month": string;
          "number": number;
          "organization_id"?: string | null;
          "parquet_bytes": number;
          "parquet_etag": string;
          "parquet_key": string;
          "parquet_sha256": string;
          "place": string;
          "removed": number;
          "sha256": string;
          "snapshot": unknown;
          "verified_at"?: string;
        };
        Update: {
          "after"?: string | null;
          "bytes"?: number;
          "cursor"?: string;
          "entries"?: number;
          "etag"?: string;
          "key"?: string;
          "month"?: string;
          "number"?: number;
          "organization_id"?: string | null;
          "parquet_bytes"?: number;
          "parquet_etag"?: string;
          "parquet_key"?: string;
          "parquet_sha256"?: string;
          "place"?: string;
          "removed"?: number;
          "sha256"?: string;
          "snapshot"?: unknown;
          "verified_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "audit_archive_files_of_a_log";
            columns: ["month"];
            isOneToOne: false;
            referencedRelation: "audit_archives";
            referencedColumns: ["month"];
          },
        ];
      };
      "audit_archived_logs": {
        Row: {
          "archived_at": string | null;
          "entries": number;
          "exported_through": number;
          "first_seal": number;
          "from_month": string;
          "last_hash": string;
          "last_seal": number;
          "month": string;
          "organization_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "entries": number;
          "exported_through"?: number;
          "first_seal": number;
          "from_month": string;
          "last_hash": string;
          "last_seal": number;
          "month": string;
          "organization_id"?: string | null;
        };
        Update: {
          "archived_at"?: string | null;
          "entries"?: number;
          "exported_through"?: number;
          "first_seal"?: number;
          "from_month"?: string;
          "last_hash"?: string;
          "last_seal"?: number;
          "month"?: string;
          "organization_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "audit_archived_logs_month_fkey";
            columns: ["month"];
            isOneToOne: false;
            referencedRelation: "audit_archives";
            referencedColumns: ["month"];
          },
        ];
      };
      "audit_archives": {
        Row: {
          "archived_at": string | null;
          "begun_at": string;
          "checked_through": number;
          "dropped": number | null;
          "end_id": string;
          "first_seal": number;
          "from_month": string;
          "holds_checked": (string)[] | null;
          "holds_checked_through": string | null;
          "last_seal": number;
          "month": string;
          "record_id": string | null;
          "seal_hash": string;
        };
        ComputedFields: never;
        Insert: {
          "archived_at"?: string | null;
          "begun_at"?: string;
          "checked_through": number;
          "dropped"?: number | null;
          "end_id": string;
          "first_seal": number;
          "from_month": string;
          "holds_checked"?: (string)[] | null;
          "holds_checked_through"?: string | null;
          "last_seal": number;
          "month": string;
          "record_id"?: string | null;
          "seal_hash": string;
        };
        Update: {
          "archived_at"?: string | null;
          "begun_at"?: string;
          "checked_through"?: number;
          "dropped"?: number | null;
          "end_id"?: string;
          "first_seal"?: number;
          "from_month"?: string;
          "holds_checked"?: (string)[] | null;
          "holds_checked_through"?: string | null;
          "last_seal"?: number;
          "month"?: string;
          "record_id"?: string | null;
          "seal_hash"?: string;
        };
        Relationships: [];
      };
      "audit_checkpoints": {
        Row: {
          "delivered_at": string | null;
          "delivery_error": string | null;
          "key_id": string;
          "note": string;
          "root_hash": string;
          "signed_at": string;
          "sink": string | null;
          "tree_size": number;
        };
        ComputedFields: never;
        Insert: {
          "delivered_at"?: string | null;
          "delivery_error"?: string | null;
          "key_id": string;
          "note": string;
          "root_hash": string;
          "signed_at"?: string;
          "sink"?: string | null;
          "tree_size": number;
        };
        Update: {
          "delivered_at"?: string | null;
          "delivery_error"?: string | null;
          "key_id"?: string;
          "note"?: string;
          "root_hash"?: string;
          "signed_at"?: string;
          "sink"?: string | null;
          "tree_size"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "audit_checkpoints_key_id_fkey";
            columns: ["key_id"];
            isOneToOne: false;
            referencedRelation: "audit_keys";
            referencedColumns: ["key_id"];
          },
        ];
      };
      "audit_event_types": {
        Row: {
          "description": string;
          "name": string;
          "reported_by_clients": boolean;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
          "reported_by_clients"?: boolean;
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
        };
        Update: {
          "description"?: string;
          "name"?: string;
          "reported_by_clients"?: boolean;
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
        };
        Relationships: [];
      };
      "audit_keys": {
        Row: {
          "key_id": string;
          "name": string;
          "public_key": string;
          "registered_at": string;
          "writer_hash": string;
        };
        ComputedFields: never;
        Insert: {
          "key_id": string;
          "name": string;
          "public_key": string;
          "registered_at"?: string;
          "writer_hash": string;
        };
        Update: {
          "key_id"?: string;
          "name"?: string;
          "public_key"?: string;
          "registered_at"?: string;
          "writer_hash"?: string;
        };
        Relationships: [];
      };
      "audit_legal_holds": {
        Row: {
          "id": string;
          "organization_id": string | null;
          "placed_at": string;
          "placed_by": string | null;
          "placed_by_operator": boolean;
          "reason": string;
          "released_at": string | null;
          "released_by": string | null;
          "resource_id": string | null;
          "resource_type": string | null;
          "subject_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "id"?: string;
          "organization_id"?: string | null;
          "placed_at"?: string;
          "placed_by"?: string | null;
          "placed_by_operator": boolean;
          "reason": string;
          "released_at"?: string | null;
          "released_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "subject_id"?: string | null;
        };
        Update: {
          "id"?: string;
          "organization_id"?: string | null;
          "placed_at"?: string;
          "placed_by"?: string | null;
          "placed_by_operator"?: boolean;
          "reason"?: string;
          "released_at"?: string | null;
          "released_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "subject_id"?: string | null;
        };
        Relationships: [];
      };
      "audit_logs": {
        Row: {
          "action": string | null;
          "actor_id": string | null;
          "actor_type": Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after": Json | null;
          "before": Json | null;
          "commitment": string | null;
          "correlation_id": string | null;
          "database_user": string | null;
          "details": Json | null;
          "event_type": string;
          "id": string;
          "ip": string | null;
          "occurred_at": string;
          "organization_id": string | null;
          "parent_id": string | null;
          "removed_by": string | null;
          "resource_id": string | null;
          "resource_type": string | null;
          "result": Database["bulwark"]["Enums"]["audit_result"];
          "salt": string | null;
          "session_id": string | null;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["audit_source"];
          "timeline": number;
          "user_agent": string | null;
          "xid": unknown;
        };
        ComputedFields: never;
        Insert: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "event_type": string;
          "id"?: string;
          "ip"?: string | null;
          "occurred_at": string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "result"?: Database["bulwark"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["audit_source"];
          "timeline": number;
          "user_agent"?: string | null;
          "xid": unknown;
        };
        Update: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "event_type"?: string;
          "id"?: string;
          "ip"?: string | null;
          "occurred_at"?: string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "result"?: Database["bulwark"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
          "source"?: Database["bulwark"]["Enums"]["audit_source"];
          "timeline"?: number;
          "user_agent"?: string | null;
          "xid"?: unknown;
        };
        Relationships: [];
      };
      "audit_restored_logs": {
        Row: {
          "action": string | null;
          "actor_id": string | null;
          "actor_type": Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after": Json | null;
          "before": Json | null;
          "commitment": string | null;
          "correlation_id": string | null;
          "database_user": string | null;
          "details": Json | null;
          "event_type": string;
          "id": string;
          "ip": string | null;
          "month": string;
          "occurred_at": string;
          "organization_id": string | null;
          "parent_id": string | null;
          "removed_by": string | null;
          "resource_id": string | null;
          "resource_type": string | null;
          "restored_at": string;
          "result": Database["bulwark"]["Enums"]["audit_result"];
          "salt": string | null;
          "session_id": string | null;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["audit_source"];
          "timeline": number;
          "user_agent": string | null;
          "xid": unknown;
        };
        ComputedFields: never;
        Insert: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "event_type": string;
          "id": string;
          "ip"?: string | null;
          "month": string;
          "occurred_at": string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "restored_at"?: string;
          "result": Database["bulwark"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["audit_source"];
          "timeline": number;
          "user_agent"?: string | null;
          "xid": unknown;
        };
        Update: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["bulwark"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "event_type"?: string;
          "id"?: string;
          "ip"?: string | null;
          "month"?: string;
          "occurred_at"?: string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "restored_at"?: string;
          "result"?: Database["bulwark"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
          "source"?: Database["bulwark"]["Enums"]["audit_source"];
          "timeline"?: number;
          "user_agent"?: string | null;
          "xid"?: unknown;
        };
        Relationships: [];
      };
      "invitations": {
        Row: {
          "accepted_at": string | null;
          "accepted_by": string | null;
          "created_at": string;
          "declined": boolean;
          "email": string;
          "expires_at": string;
          "id": string;
          "invited_by": string | null;
          "organization_id": string;
          "revoked_at": string | null;
          "role_expires_at": string | null;
          "role_id": string;
        };
        ComputedFields: never;
        Insert: {
          "accepted_at"?: string | null;
          "accepted_by"?: string | null;
          "created_at"?: string;
          "declined"?: boolean;
          "email": string;
          "expires_at": string;
          "id"?: string;
          "invited_by"?: string | null;
          "organization_id": string;
          "revoked_at"?: string | null;
          "role_expires_at"?: string | null;
          "role_id": string;
        };
        Update: {
          "accepted_at"?: string | null;
          "accepted_by"?: string | null;
          "created_at"?: string;
          "declined"?: boolean;
          "email"?: string;
          "expires_at"?: string;
          "id"?: string;
          "invited_by"?: string | null;
          "organization_id"?: string;
          "revoked_at"?: string | null;
          "role_expires_at"?: string | null;
          "role_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "invitations_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "invitations_role_id_fkey";
            columns: ["role_id"];
            isOneToOne: false;
            referencedRelation: "roles";
            referencedColumns: ["id"];
          },
        ];
      };
      "mfa_policies": {
        Row: {
          "approval_until": string | null;
          "id": string;
          "organization_id": string | null;
          "required_from": string | null;
          "reset_needs_approval": boolean;
          "updated_at": string;
          "updated_by": string | null;
        };
        ComputedFields: never;
        Insert: {
          "approval_until"?: string | null;
          "id"?: string;
          "organization_id"?: string | null;
          "required_from"?: string | null;
          "reset_needs_approval"?: boolean;
          "updated_at"?: string;
          "updated_by"?: string | null;
        };
        Update: {
          "approval_until"?: string | null;
          "id"?: string;
          "organization_id"?: string | null;
          "required_from"?: string | null;
          "reset_needs_approval"?: boolean;
          "updated_at"?: string;
          "updated_by"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "mfa_policies_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: true;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "mfa_resets": {
        Row: {
          "cancelled_at": string | null;
          "completed_at": string | null;
          "expires_at": string;
          "id": string;
          "organization_id": string | null;
          "reason": string;
          "requested_at": string;
          "requested_by": string | null;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "cancelled_at"?: string | null;
          "completed_at"?: string | null;
          "expires_at"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "reason": string;
          "requested_at"?: string;
          "requested_by"?: string | null;
          "user_id": string;
        };
        Update: {
          "cancelled_at"?: string | null;
          "completed_at"?: string | null;
          "expires_at"?: string;
          "id"?: string;
          "organization_id"?: string | null;
          "reason"?: string;
          "requested_at"?: string;
          "requested_by"?: string | null;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "mfa_resets_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "mfa_secrets": {
        Row: {
          "activated_at": string | null;
          "begun_as_first": boolean;
          "begun_in": string;
          "created_at": string;
          "id": string;
          "last_step": number;
          "last_used_at": string | null;
          "name": string;
          "secret": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "activated_at"?: string | null;
          "begun_as_first": boolean;
          "begun_in": string;
          "created_at"?: string;
          "id": string;
          "last_step"?: number;
          "last_used_at"?: string | null;
          "name": string;
          "secret": string;
          "user_id": string;
        };
        Update: {
          "activated_at"?: string | null;
          "begun_as_first"?: boolean;
          "begun_in"?: string;
          "created_at"?: string;
          "id"?: string;
          "last_step"?: number;
          "last_used_at"?: string | null;
          "name"?: string;
          "secret"?: string;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "mfa_usage_log": {
        Row: {
          "event": string;
          "factor_id": string | null;
          "id": number;
          "occurred_at": string;
          "session_id": string | null;
          "succeeded": boolean;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "event": string;
          "factor_id"?: string | null;
          "id"?: never;
          "occurred_at"?: string;
          "session_id"?: string | null;
          "succeeded": boolean;
          "user_id": string;
        };
        Update: {
          "event"?: string;
          "factor_id"?: string | null;
          "id"?: never;
          "occurred_at"?: string;
          "session_id"?: string | null;
          "succeeded"?: boolean;
          "user_id"?: string;
        };
        Relationships: [];
      };
      "organizations": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
          "self_service": boolean;
          "slug": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "name": string;
          "self_service"?: boolean;
          "slug": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "name"?: string;
          "self_service"?: boolean;
          "slug"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "permissions": {
        Row: {
          "description": string;
          "name": string;
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
        };
        Update: {
          "description"?: string;
          "name"?: string;
        };
        Relationships: [];
      };
      "rate_limit_blocks": {
        Row: {
          "api_key_id": string | null;
          "blocked_at": string;
          "expires_at": string;
          "id": string;
          "identifier": string;
          "kind": string;
          "lifted_at": string | null;
          "lifted_by": string | null;
          "organization_id": string | null;
          "rule": string;
          "step": number;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "api_key_id"?: string | null;
          "blocked_at"?: string;
          "expires_at": string;
          "id"?: string;
          "identifier": string;
          "kind": string;
          "lifted_at"?: string | null;
          "lifted_by"?: string | null;
          "organization_id"?: string | null;
          "rule": string;
          "step": number;
          "user_id"?: string | null;
        };
        Update: {
          "api_key_id"?: string | null;
          "blocked_at"?: string;
          "expires_at"?: string;
          "id"?: string;
          "identifier"?: string;
          "kind"?: string;
          "lifted_at"?: string | null;
          "lifted_by"?: string | null;
          "organization_id"?: string | null;
          "rule"?: string;
          "step"?: number;
          "user_id"?: string | null;
        };
        Relationships: [];
      };
      "rate_limit_networks": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "expires_at": string | null;
          "network": unknown;
          "reason": string;
          "verdict": Database["bulwark"]["Enums"]["network_verdict"];
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "expires_at"?: string | null;
          "network": unknown;
          "reason": string;
          "verdict": Database["bulwark"]["Enums"]["network_verdict"];
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "expires_at"?: string | null;
          "network"?: unknown;
          "reason"?: string;
          "verdict"?: Database["bulwark"]["Enums"]["network_verdict"];
        };
        Relationships: [];
      };
      "rate_limit_overrides": {
        Row: {
          "api_key_id": string | null;
          "capacity": number;
          "emission_us": number;
          "id": string;
          "organization_id": string | null;
          "rule": string;
          "scope": number;
          "window_seconds": number;
        };
        ComputedFields: never;
        Insert: {
          "api_key_id"?: string | null;
          "capacity": number;
          "emission_us"?: never;
          "id"?: string;
          "organization_id"?: string | null;
          "rule": string;
          "scope"?: number;
          "window_seconds": number;
        };
        Update: {
          "api_key_id"?: string | null;
          "capacity"?: number;
          "emission_us"?: never;
          "id"?: string;
          "organization_id"?: string | null;
          "rule"?: string;
          "scope"?: number;
          "window_seconds"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "rate_limit_overrides_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "rate_limit_overrides_rule_fkey";
            columns: ["rule"];
            isOneToOne: false;
            referencedRelation: "rate_limit_rules";
            referencedColumns: ["name"];
          },
        ];
      };
      "rate_limit_rules": {
        Row: {
          "capacity": number;
          "description": string;
          "emission_us": number;
          "identified_by": Database["bulwark"]["Enums"]["rate_limit_subject"];
          "name": string;
          "raises": string | null;
          "scope": number;
          "tolerance_us": number;
          "when_store_fails": Database["bulwark"]["Enums"]["rate_limit_failure"];
          "window_seconds": number;
        };
        ComputedFields: never;
        Insert: {
          "capacity": number;
          "description": string;
          "emission_us"?: never;
          "identified_by": Database["bulwark"]["Enums"]["rate_limit_subject"];
          "name": string;
          "raises"?: string | null;
          "scope"?: number;
          "tolerance_us"?: never;
          "when_store_fails": Database["bulwark"]["Enums"]["rate_limit_failure"];
          "window_seconds": number;
        };
        Update: {
          "capacity"?: number;
          "description"?: string;
          "emission_us"?: never;
          "identified_by"?: Database["bulwark"]["Enums"]["rate_limit_subject"];
          "name"?: string;
          "raises"?: string | null;
          "scope"?: number;
          "tolerance_us"?: never;
          "when_store_fails"?: Database["bulwark"]["Enums"]["rate_limit_failure"];
          "window_seconds"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "rate_limit_rules_raises_fkey";
            columns: ["raises"];
            isOneToOne: false;
            referencedRelation: "security_event_types";
            referencedColumns: ["name"];
          },
        ];
      };
      "reencryption_failures": {
        Row: {
          "fault": string;
          "id": number;
          "noticed_at": string;
          "reencryption_id": number;
          "row_key": string;
        };
        ComputedFields: never;
        Insert: {
          "fault": string;
          "id"?: never;
          "noticed_at"?: string;
          "reencryption_id": number;
          "row_key": string;
        };
        Update: {
          "fault"?: string;
          "id"?: never;
          "noticed_at"?: string;
          "reencryption_id"?: number;
          "row_key"?: string;
        };
        Relationships: [];
      };
      "role_inheritance": {
        Row: {
          "inherits_role_id": string;
          "role_id": string;
        };
        ComputedFields: never;
        Insert: {
          "inherits_role_id": string;
          "role_id": string;
        };
        Update: {
          "inherits_role_id"?: string;
          "role_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "role_inheritance_inherits_role_id_fkey";
            columns: ["inherits_role_id"];
            isOneToOne: false;
            referencedRelation: "roles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "role_inheritance_role_id_fkey";
            columns: ["role_id"];
            isOneToOne: false;
            referencedRelation: "roles";
            referencedColumns: ["id"];
          },
        ];
      };
      "role_permissions": {
        Row: {
          "permission": string;
          "role_id": string;
        };
        ComputedFields: never;
        Insert: {
          "permission": string;
          "role_id": string;
        };
        Update: {
          "permission"?: string;
          "role_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "role_permissions_permission_fkey";
            columns: ["permission"];
            isOneToOne: false;
            referencedRelation: "permissions";
            referencedColumns: ["name"];
          },
          {
            foreignKeyName: "role_permissions_role_id_fkey";
            columns: ["role_id"];
            isOneToOne: false;
            referencedRelation: "roles";
            referencedColumns: ["id"];
          },
        ];
      };
      "roles": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "description": string;
          "id": string;
          "level": number;
          "name": string;
          "organization_id": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "description"?: string;
          "id"?: string;
          "level"?: number;
          "name": string;
          "organization_id"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "description"?: string;
          "id"?: string;
          "level"?: number;
          "name"?: string;
          "organization_id"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "roles_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "security_event_types": {
        Row: {
          "description": string;
          "name": string;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
        };
        Update: {
          "description"?: string;
          "name"?: string;
          "severity"?: Database["bulwark"]["Enums"]["security_severity"];
        };
        Relationships: [];
      };
      "security_events": {
        Row: {
          "assigned_to": string | null;
          "details": NonNullable<Json>;
          "event_type": string;
          "id": string;
          "last_seen_at": string;
          "occurrences": number;
          "organization_id": string | null;
          "raised_at": string;
          "resolution_note": string | null;
          "resolved_at": string | null;
          "resolved_by": string | null;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
          "subject": string;
          "user_id": string | null;
        };
        ComputedFields: never;
        Insert: {
          "assigned_to"?: string | null;
          "details"?: NonNullable<Json>;
          "event_type": string;
          "id"?: string;
          "last_seen_at"?: string;
          "occurrences"?: number;
          "organization_id"?: string | null;
          "raised_at"?: string;
          "resolution_note"?: string | null;
          "resolved_at"?: string | null;
          "resolved_by"?: string | null;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
          "subject"?: string;
          "user_id"?: string | null;
        };
        Update: {
          "assigned_to"?: string | null;
          "details"?: NonNullable<Json>;
          "event_type"?: string;
          "id"?: string;
          "last_seen_at"?: string;
          "occurrences"?: number;
          "organization_id"?: string | null;
          "raised_at"?: string;
          "resolution_note"?: string | null;
          "resolved_at"?: string | null;
          "resolved_by"?: string | null;
          "severity"?: Database["bulwark"]["Enums"]["security_severity"];
          "subject"?: string;
          "user_id"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "security_events_event_type_fkey";
            columns: ["event_type"];
            isOneToOne: false;
            referencedRelation: "security_event_types";
            referencedColumns: ["name"];
          },
        ];
      };
      "security_rules": {
        Row: {
          "action": string | null;
          "counts": string;
          "description": string;
          "distinct_by": "actor" | "resource" | "network" | "installation" | "entry" | null;
          "enabled": boolean;
          "event_type": string;
          "grouped_by": "actor" | "resource" | "network" | "installation" | "entry";
          "name": string;
          "threshold": number;
          "window_seconds": number;
        };
        ComputedFields: never;
        Insert: {
          "action"?: string | null;
          "counts": string;
          "description": string;
          "distinct_by"?: "actor" | "resource" | "network" | "installation" | "entry" | null;
          "enabled"?: boolean;
          "event_type": string;
          "grouped_by": "actor" | "resource" | "network" | "installation" | "entry";
          "name": string;
          "threshold": number;
          "window_seconds": number;
        };
        Update: {
          "action"?: string | null;
          "counts"?: string;
          "description"?: string;
          "distinct_by"?: "actor" | "resource" | "network" | "installation" | "entry" | null;
          "enabled"?: boolean;
          "event_type"?: string;
          "grouped_by"?: "actor" | "resource" | "network" | "installation" | "entry";
          "name"?: string;
          "threshold"?: number;
          "window_seconds"?: number;
        };
        Relationships: [
          {
            foreignKeyName: "security_rules_event_type_fkey";
            columns: ["event_type"];
            isOneToOne: false;
            referencedRelation: "security_event_types";
            referencedColumns: ["name"];
          },
        ];
      };
      "settings": {
        Row: {
          "description": string;
          "name": string;
          "value": NonNullable<Json>;
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
          "value": NonNullable<Json>;
        };
        Update: {
          "description"?: string;
          "name"?: string;
          "value"?: NonNullable<Json>;
        };
        Relationships: [];
      };
      "user_roles": {
        Row: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
          "source": string;
          "starts_at": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "expires_at"?: string | null;
          "granted_by"?: string | null;
          "id"?: string;
          "organization_id"?: string | null;
          "role_id": string;
          "source"?: string;
          "starts_at"?: string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "expires_at"?: string | null;
          "granted_by"?: string | null;
          "id"?: string;
          "organization_id"?: string | null;
          "role_id"?: string;
          "source"?: string;
          "starts_at"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "user_roles_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "user_roles_role_id_fkey";
            columns: ["role_id"];
            isOneToOne: false;
            referencedRelation: "roles";
            referencedColumns: ["id"];
          },
        ];
      };
      "webhook_attempts": {
        Row: {
          "delivery_id": string;
          "id": string;
          "latency_ms": number | null;
          "number": number;
          "outcome": Database["bulwark"]["Enums"]["webhook_outcome"];
          "response": string | null;
          "started_at": string;
          "status": number | null;
          "worker": string;
        };
        ComputedFields: never;
        Insert: {
          "delivery_id": string;
          "id": string;
          "latency_ms"?: number | null;
          "number": number;
          "outcome": Database["bulwark"]["Enums"]["webhook_outcome"];
          "response"?: string | null;
          "started_at": string;
          "status"?: number | null;
          "worker": string;
        };
        Update: {
          "delivery_id"?: string;
          "id"?: string;
          "latency_ms"?: number | null;
          "number"?: number;
          "outcome"?: Database["bulwark"]["Enums"]["webhook_outcome"];
          "response"?: string | null;
          "started_at"?: string;
          "status"?: number | null;
          "worker"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "webhook_attempts_delivery_id_fkey";
            columns: ["delivery_id"];
            isOneToOne: false;
            referencedRelation: "webhook_deliveries";
            referencedColumns: ["id"];
          },
        ];
      };
      "webhook_deliveries": {
        Row: {
          "attempt_id": string | null;
          "attempts": number;
          "attempts_before": number;
          "claimed_at": string | null;
          "claimed_by": string | null;
          "due_at": string;
          "endpoint_id": string;
          "event_id": string;
          "event_type": string;
          "finished_at": string | null;
          "id": string;
          "occurred_at": string;
          "ordering_key": string | null;
          "organization_id": string | null;
          "sequence": number;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["webhook_source"];
          "status": Database["bulwark"]["Enums"]["webhook_delivery_status"];
        };
        ComputedFields: never;
        Insert: {
          "attempt_id"?: string | null;
          "attempts"?: number;
          "attempts_before"?: number;
          "claimed_at"?: string | null;
          "claimed_by"?: string | null;
          "due_at"?: string;
          "endpoint_id": string;
          "event_id": string;
          "event_type": string;
          "finished_at"?: string | null;
          "id"?: string;
          "occurred_at": string;
          "ordering_key"?: string | null;
          "organization_id"?: string | null;
          "sequence"?: never;
          "severity": Database["bulwark"]["Enums"]["audit_severity"];
          "source": Database["bulwark"]["Enums"]["webhook_source"];
          "status"?: Database["bulwark"]["Enums"]["webhook_delivery_status"];
        };
        Update: {
          "attempt_id"?: string | null;
          "attempts"?: number;
          "attempts_before"?: number;
          "claimed_at"?: string | null;
          "claimed_by"?: string | null;
          "due_at"?: string;
          "endpoint_id"?: string;
          "event_id"?: string;
          "event_type"?: string;
          "finished_at"?: string | null;
          "id"?: string;
          "occurred_at"?: string;
          "ordering_key"?: string | null;
          "organization_id"?: string | null;
          "sequence"?: never;
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
          "source"?: Database["bulwark"]["Enums"]["webhook_source"];
          "status"?: Database["bulwark"]["Enums"]["webhook_delivery_status"];
        };
        Relationships: [];
      };
      "webhook_endpoint_health": {
        Row: {
          "consecutive_failures": number;
          "consecutive_timeouts": number;
          "endpoint_id": string;
          "failing_since": string | null;
          "last_failure_at": string | null;
          "proven": boolean;
        };
        ComputedFields: never;
        Insert: {
          "consecutive_failures"?: number;
          "consecutive_timeouts"?: number;
          "endpoint_id": string;
          "failing_since"?: string | null;
          "last_failure_at"?: string | null;
          "proven"?: boolean;
        };
        Update: {
          "consecutive_failures"?: number;
          "consecutive_timeouts"?: number;
          "endpoint_id"?: string;
          "failing_since"?: string | null;
          "last_failure_at"?: string | null;
          "proven"?: boolean;
        };
        Relationships: [
          {
            foreignKeyName: "webhook_endpoint_health_endpoint_id_fkey";
            columns: ["endpoint_id"];
            isOneToOne: true;
            referencedRelation: "webhook_endpoints";
            referencedColumns: ["id"];
          },
        ];
      };
      "webhook_endpoints": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "disabled_at": string | null;
          "disabled_reason": string | null;
          "every_organization": boolean;
          "follow_redirects": boolean;
          "format": Database["bulwark"]["Enums"]["webhook_format"];
          "id": string;
          "include_details": boolean;
          "name": string;
          "ordering": Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id": string | null;
          "origin": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "disabled_at"?: string | null;
          "disabled_reason"?: string | null;
          "every_organization"?: boolean;
          "follow_redirects"?: boolean;
          "format"?: Database["bulwark"]["Enums"]["webhook_format"];
          "id": string;
          "include_details"?: boolean;
          "name": string;
          "ordering"?: Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id"?: string | null;
          "origin": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "disabled_at"?: string | null;
          "disabled_reason"?: string | null;
          "every_organization"?: boolean;
          "follow_redirects"?: boolean;
          "format"?: Database["bulwark"]["Enums"]["webhook_format"];
          "id"?: string;
          "include_details"?: boolean;
          "name"?: string;
          "ordering"?: Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id"?: string | null;
          "origin"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "webhook_endpoints_organization_id_fkey";
            columns: ["organization_id"];
            isOneToOne: false;
            referencedRelation: "organizations";
            referencedColumns: ["id"];
          },
        ];
      };
      "webhook_subscriptions": {
        Row: {
          "endpoint_id": string;
          "minimum_severity": Database["bulwark"]["Enums"]["audit_severity"];
          "open_ended": boolean;
          "pattern": string;
          "scope": string;
          "stem": string;
        };
        ComputedFields: never;
        Insert: {
          "endpoint_id": string;
          "minimum_severity"?: Database["bulwark"]["Enums"]["audit_severity"];
          "open_ended"?: never;
          "pattern": string;
          "scope": string;
          "stem"?: never;
        };
        Update: {
          "endpoint_id"?: string;
          "minimum_severity"?: Database["bulwark"]["Enums"]["audit_severity"];
          "open_ended"?: never;
          "pattern"?: string;
          "scope"?: string;
          "stem"?: never;
        };
        Relationships: [
          {
            foreignKeyName: "webhook_subscriptions_endpoint_id_fkey";
            columns: ["endpoint_id"];
            isOneToOne: false;
            referencedRelation: "webhook_endpoints";
            referencedColumns: ["id"];
          },
        ];
      };
    };
    Views: {
      [_ in never]: never;
    };
    Functions: {
      "accept_audit_key": { Args: { "key_id": string }; Returns: undefined };
      "accept_invitation": {
        Args: { "token": string };
        Returns: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
          "source": string;
          "starts_at": string;
          "updated_at": string;
          "user_id": string;
        };
        SetofOptions: {
          from: "*";
          to: "user_roles";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "accept_my_invitation": {
        Args: { "invitation_id": string };
        Returns: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
          "source": string;
          "starts_at": string;
          "updated_at": string;
          "user_id": string;
        };
        SetofOptions: {
          from: "*";
          to: "user_roles";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "add_data_key": {
        Args: {
          "after_version": number;
          "key_id": string;
          "organization_id"?: string;
          "purpose": string;
          "wrapped_key": string;
        };
        Returns: boolean;
      };
      "admit_api_keys": {
        Args: {
          "delete_permission"?: string;
          "organization_column"?: unknown;
          "read_permission"?: string;
          "target": unknown;
          "write_permission"?: string;
        };
        Returns: undefined;
      };
      "api_key_options": { Args: { "organization_id": string }; Returns: Json };
      "api_key_table_problems": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "problem": string;
          "relation": string;
        }[];
      };
      "apply_reencryption_batch": {
        Args: {
          "changes": Json;
          "failures"?: Json;
          "next_place": string;
          "place"?: string;
          "reencryption_id": number;
        };
        Returns: number;
      };
      "approve_mfa_reset": { Args: { "reset_id": string }; Returns: boolean };
      "assign_security_event": {
        Args: { "assignee": string; "event_id": string };
        Returns: {
          "assigned_to": string | null;
          "details": NonNullable<Json>;
          "event_type": string;
          "id": string;
          "last_seen_at": string;
          "occurrences": number;
          "organization_id": string | null;
          "raised_at": string;
          "resolution_note": string | null;
          "resolved_at": string | null;
          "resolved_by": string | null;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
          "subject": string;
          "user_id": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "security_events";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "audit_consistency_proof": {
        Args: { "from_size": number; "to_size": number };
        Returns: Json;
      };
      "audit_coverage": {
        Args: { "organization_id"?: string };
        Returns: {
          "delivered_until": string;
          "newest_entry": string;
          "sealed_entries": number;
          "sealed_until": string;
          "signed_entries": number;
          "signed_until": string;
        }[];
      };
      "audit_group_nodes": {
        Args: { "first": number; "last": number; "organization_id"?: string; "seal": number };
        Returns: Json;
      };
      "audit_histogram": {
        Args: {
          "actor_id"?: string;
          "before"?: string;
          "bucket"?: string;
          "event_types"?: (string)[];
          "group_by"?: string;
          "organization_id"?: string;
          "resource_id"?: string;
          "search"?: string;
          "severities"?: (Database["bulwark"]["Enums"]["audit_severity"])[];
          "since"?: string;
          "until"?: string;
        };
        Returns: Json;
      };
      "audit_inclusion_proof": { Args: { "entry_id": string }; Returns: Json };
      "audit_period": {
        Args: { "organization_id"?: string; "since"?: string; "until"?: string };
        Returns: {
          "after": string;
          "entries": number;
          "through": string;
        }[];
      };
      "audit_status": { Args: Record<PropertyKey, never>; Returns: Json };
      "audit_tree_head": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "checkpoint_at": string;
          "checkpoint_size": number;
          "root_hash": string;
          "sealed_at": string;
          "tree_size": number;
        }[];
      };
      "authorize_field_access": {
        Args: {
          "action": string;
          "columns": (string)[];
          "organization_id"?: string;
          "primary_keys": (string)[];
          "table_name": string;
        };
        Returns: undefined;
      };
      "begin_audit_restore": {
        Args: {
          "everybody"?: boolean;
          "month": string;
          "organization_id"?: string;
          "reason": string;
        };
        Returns: {
          "after": string | null;
          "bytes": number;
          "cursor": string;
          "entries": number;
          "etag": string;
          "key": string;
          "month": string;
          "number": number;
          "organization_id": string | null;
          "parquet_bytes": number;
          "parquet_etag": string;
          "parquet_key": string;
          "parquet_sha256": string;
          "place": string;
          "removed": number;
          "sha256": string;
          "snapshot": unknown;
          "verified_at": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "audit_archive_files";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "begin_backup_codes": { Args: Record<PropertyKey, never>; Returns: string };
      "begin_login": {
        Args: { "account": string; "address"?: string; "rule"?: string };
        Returns: {
          "allowed": boolean;
          "capacity": number;
          "reason": string;
          "remaining": number;
          "reset_seconds": number;
          "retry_after_seconds": number;
          "window_seconds": number;
        }[];
      };
      "begin_mfa_attempt": { Args: { "purpose": string }; Returns: string };
      "begin_mfa_enrolment": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "account": string;
          "factor_id": string;
          "issuer": string;
          "user_id": string;
        }[];
      };
      "cancel_mfa_reset": { Args: { "reset_id": string }; Returns: undefined };
      "check_audit_archive": { Args: { "month": string }; Returns: boolean };
      "check_audit_log": { Args: { "max_entries"?: number }; Returns: boolean };
      "check_health": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "healthy": boolean;
          "name": string;
          "seconds": number;
        }[];
      };
      "check_permissions": {
        Args: { "organization_id"?: string; "permissions": (string)[] };
        Returns: {
          "allowed": boolean;
          "permission": string;
        }[];
      };
      "check_rate_limit": {
        Args: {
          "account"?: string;
          "address"?: string;
          "api_key_id"?: string;
          "calls"?: number;
          "cost"?: number;
          "organization_id"?: string;
          "rule": string;
          "user_id"?: string;
        };
        Returns: Database["bulwark"]["CompositeTypes"]["rate_limit_decision"];
        SetofOptions: {
          from: "*";
          to: "rate_limit_decision";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "check_rate_limits": {
        Args: { "addresses": (string)[]; "rules": (string)[]; "user_ids": (string)[] };
        Returns: Database["bulwark"]["CompositeTypes"]["rate_limit_decision"][];
        SetofOptions: {
          from: "*";
          to: "rate_limit_decision";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "check_request": { Args: Record<PropertyKey, never>; Returns: undefined };
      "choose_key_encryption_key": { Args: { "key_id": string }; Returns: undefined };
      "claim_webhook_deliveries": {
        Args: {
          "busy_accounts"?: (string)[];
          "busy_endpoints"?: (string)[];
          "lease_seconds"?: number;
          "maximum"?: number;
          "maximum_unproven"?: number;
          "only_delivery"?: string;
          "worker": string;
        };
        Returns: Json;
      };
      "cleanup_invitations": { Args: Record<PropertyKey, never>; Returns: number };
      "cleanup_mfa": { Args: Record<PropertyKey, never>; Returns: undefined };
      "cleanup_old_audit_logs": { Args: { "retention_days"?: number }; Returns: number };
      "cleanup_old_rate_limits": { Args: Record<PropertyKey, never>; Returns: number };
      "cleanup_security_events": { Args: { "retention_days"?: number }; Returns: number };
      "clear_rate_limit": {
        Args: { "api_key_id"?: string; "organization_id"?: string; "rule": string };
        Returns: undefined;
      };
      "close_access_review": { Args: { "review_id": string }; Returns: Json };
      "close_privileges": { Args: Record<PropertyKey, never>; Returns: undefined };
      "complete_mfa_activation": {
        Args: {
          "attempt_id": string;
          "backup_code_hashes": (string)[];
          "factor_id": string;
          "step": number;
        };
        Returns: Json;
      };
      "complete_mfa_backup_code": {
        Args: { "attempt_id": string; "code_hash": string };
        Returns: Json;
      };
      "complete_mfa_verification": {
        Args: { "attempt_id": string; "factor_id": string; "step": number };
        Returns: Json;
      };
      "complete_webhook_deliveries": { Args: { "results": Json }; Returns: number };
      "compliance_report": {
        Args: { "organization_id": string; "since"?: string; "until"?: string };
        Returns: Json;
      };
      "continue_audit_export": {
        Args: { "after": string; "caller": string; "organization_id"?: string };
        Returns: boolean;
      };
      "continue_webhook_deliveries": { Args: { "wait_seconds": number }; Returns: boolean };
      "create_api_key": {
        Args: {
          "environment"?: string;
          "expires_at"?: string;
          "name": string;
          "networks"?: (string)[];
          "organization_id": string;
          "rate_limit_rule"?: string;
          "scopes": (string)[];
        };
        Returns: Database["bulwark"]["CompositeTypes"]["issued_api_key"];
        SetofOptions: {
          from: "*";
          to: "issued_api_key";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "create_organization": {
        Args: { "administrator_id"?: string; "name": string; "slug": string };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
          "self_service": boolean;
          "slug": string;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "organizations";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "create_role": {
        Args: {
          "description"?: string;
          "inherits"?: (string)[];
          "name": string;
          "organization_id": string;
          "permissions"?: (string)[];
        };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "description": string;
          "id": string;
          "level": number;
          "name": string;
          "organization_id": string | null;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "roles";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "create_webhook_endpoint": {
        Args: {
          "destination": string;
          "every_organization"?: boolean;
          "follow_redirects"?: boolean;
          "format"?: Database["bulwark"]["Enums"]["webhook_format"];
          "id": string;
          "include_details"?: boolean;
          "name": string;
          "ordering"?: Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id": string;
          "origin": string;
          "secret": string;
          "secret_id": string;
          "subscriptions": Json;
        };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "disabled_at": string | null;
          "disabled_reason": string | null;
          "every_organization": boolean;
          "follow_redirects": boolean;
          "format": Database["bulwark"]["Enums"]["webhook_format"];
          "id": string;
          "include_details": boolean;
          "name": string;
          "ordering": Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id": string | null;
          "origin": string;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "webhook_endpoints";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "current_person": { Args: Record<PropertyKey, never>; Returns: string };
      "custom_access_token_hook": { Args: { "event": Json }; Returns: Json };
      "data_keys_to_rewrap": {
        Args: { "batch_size"?: number; "kek": string };
        Returns: {
          "id": string;
          "organization_id": string;
          "purpose": string;
          "version": number;
          "wrapped_key": string;
        }[];
      };
      "decide_access": {
        Args: {
          "decision": Database["bulwark"]["Enums"]["access_review_decision"];
          "item_id": string;
          "note"?: string;
          "version"?: string;
        };
        Returns: {
          "access": NonNullable<Json>;
          "api_key_id": string | null;
          "decided_at": string | null;
          "decided_by": string | null;
          "decision": Database["bulwark"]["Enums"]["access_review_decision"] | null;
          "id": string;
          "note": string | null;
          "organization_id": string;
          "outcome": Database["bulwark"]["Enums"]["access_review_outcome"] | null;
          "review_id": string;
          "user_id": string;
        };
        SetofOptions: {
          from: "*";
          to: "access_review_items";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "declare_encrypted_column": {
        Args: {
          "blind_index"?: boolean;
          "column_name": string;
          "fold"?: boolean;
          "organization_column"?: string;
          "target": unknown;
        };
        Returns: undefined;
      };
      "declare_key_found": { Args: { "key_id": string }; Returns: number };
      "declare_key_lost": { Args: { "key_id": string }; Returns: number };
      "declare_personal_data": {
        Args: { "organization_column"?: string; "person_column": string; "target": unknown };
        Returns: undefined;
      };
      "decline_invitation": { Args: { "invitation_id": string }; Returns: undefined };
      "delete_alert_rule": { Args: { "name": string }; Returns: undefined };
      "delete_organization": {
        Args: { "confirm_slug": string; "organization_id": string };
        Returns: undefined;
      };
      "delete_role": { Args: { "organization_id": string; "role": string }; Returns: undefined };
      "delete_webhook_endpoint": { Args: { "endpoint_id": string }; Returns: undefined };
      "disable_audit": { Args: { "target": unknown }; Returns: undefined };
      "disable_webhook_endpoint": { Args: { "endpoint_id": string }; Returns: undefined };
      "discard_restored_audit_logs": { Args: { "older_than_days"?: number }; Returns: number };
      "empty_for_restore": { Args: { "first_month"?: string }; Returns: undefined };
      "enable_audit": {
        Args: {
          "bulk"?: boolean;
          "direct_only"?: boolean;
          "event_types"?: (string)[];
          "ignore"?: (string)[];
          "organization_column"?: string;
          "organization_lookup"?: unknown;
          "redact"?: (string)[];
          "target": unknown;
        };
        Returns: undefined;
      };
      "enable_webhook_endpoint": { Args: { "endpoint_id": string }; Returns: undefined };
      "encryption_overview": { Args: { "organization_id"?: string }; Returns: Json };
      "encryption_progress": {
        Args: { "organization_id"?: string };
        Returns: {
          "column_name": string;
          "done": number;
          "failed": number;
          "finished_at": string;
          "of_organization": string;
          "purpose": string;
          "started_at": string;
          "state": string;
          "table_name": string;
          "total": number;
          "updated_at": string;
          "version": number;
        }[];
      };
      "end_session": { Args: { "session_id": string }; Returns: undefined };
      "erase_subject": {
        Args: {
          "after"?: string;
          "evidence"?: boolean;
          "max_entries"?: number;
          "max_seconds"?: number;
          "organization_id"?: string;
          "reason": string;
          "user_id": string;
        };
        Returns: {
          "archived": Json;
          "kept": number;
          "next_after": string;
          "removed": number;
        }[];
      };
      "evaluate_alerts": { Args: Record<PropertyKey, never>; Returns: number };
      "evaluate_security_rules": { Args: Record<PropertyKey, never>; Returns: number };
      "exchange_api_key": {
        Args: { "address"?: string; "key_hash": string };
        Returns: {
          "allowed": boolean;
          "api_key_id": string;
          "capacity": number;
          "expires_at": string;
          "organization_id": string;
          "reason": string;
          "remaining": number;
          "reset_seconds": number;
          "retry_after_seconds": number;
          "rule": string;
          "window_seconds": number;
        }[];
      };
      "expel_api_keys": { Args: { "target": unknown }; Returns: undefined };
      "explain_permission": {
        Args: { "organization_id"?: string; "permission": string; "user_id": string };
        Returns: {
          "allowed": boolean;
          "expires_at": string;
          "inherited_from": string;
          "reason": string;
          "role": string;
          "starts_at": string;
          "system_wide": boolean;
        }[];
      };
      "export_audit_log": {
        Args: {
          "after"?: string;
          "organization_id"?: string;
          "page_size"?: number;
          "purpose"?: string;
          "signed"?: boolean;
          "since"?: string;
          "until"?: string;
        };
        Returns: Json;
      };
      "export_subject": {
        Args: {
          "after"?: string;
          "organization_id"?: string;
          "page_size"?: number;
          "user_id"?: string;
        };
        Returns: Json;
      };
      "find_key_encryption_key": {
        Args: { "key_id": string };
        Returns: {
          "check_value": string;
          "derivation": string;
          "fault": string;
          "is_lost": boolean;
          "rounds": number;
          "salt": string;
        }[];
      };
      "finish_audit_archive": { Args: { "month": string; "signers": Json }; Returns: Json };
      "finish_login": {
        Args: {
          "account": string;
          "address"?: string;
          "latitude"?: number;
          "longitude"?: number;
          "user_id"?: string;
        };
        Returns: undefined;
      };
      "forget_audit_archive_files": {
        Args: { "month": string; "organization_id"?: string };
        Returns: undefined;
      };
      "get_user_roles": {
        Args: { "organization_id"?: string; "user_id": string };
        Returns: {
          "active": boolean;
          "expires_at": string;
          "granted_by": string;
          "level": number;
          "role": string;
          "starts_at": string;
        }[];
      };
      "grant_role": {
        Args: {
          "expires_at"?: string;
          "organization_id"?: string;
          "role": string;
          "starts_at"?: string;
          "user_id": string;
        };
        Returns: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
          "source": string;
          "starts_at": string;
          "updated_at": string;
          "user_id": string;
        };
        SetofOptions: {
          from: "*";
          to: "user_roles";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "has_permission": {
        Args: { "organization_id"?: string; "permission": string };
        Returns: boolean;
      };
      "install_request_hook": { Args: Record<PropertyKey, never>; Returns: string };
      "installed_capabilities": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "capability": string;
          "version": string;
        }[];
      };
      "invite_member": {
        Args: {
          "email": string;
          "expires_in"?: string;
          "organization_id": string;
          "role": string;
          "role_expires_at"?: string;
        };
        Returns: {
          "expires_at": string;
          "invitation_id": string;
          "token": string;
        }[];
      };
      "is_shredded": { Args: { "for_organization": string }; Returns: boolean };
      "is_super_admin": { Args: Record<PropertyKey, never>; Returns: boolean };
      "key_encryption_status": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "data_keys": number;
          "derivation": string;
          "id": string;
          "is_current": boolean;
        }[];
      };
      "leave_organization": { Args: { "organization_id": string }; Returns: undefined };
      "lift_rate_limit_block": {
        Args: { "block_id": string };
        Returns: {
          "api_key_id": string | null;
          "blocked_at": string;
          "expires_at": string;
          "id": string;
          "identifier": string;
          "kind": string;
          "lifted_at": string | null;
          "lifted_by": string | null;
          "organization_id": string | null;
          "rule": string;
          "step": number;
          "user_id": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "rate_limit_blocks";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "list_access_review": {
        Args: {
          "after"?: string;
          "page_size"?: number;
          "review_id": string;
          "undecided"?: boolean;
        };
        Returns: {
          "access": Json;
          "api_key_id": string;
          "decided_at": string;
          "decided_by": string;
          "decision": Database["bulwark"]["Enums"]["access_review_decision"];
          "email": string;
          "id": string;
          "name": string;
          "note": string;
          "outcome": Database["bulwark"]["Enums"]["access_review_outcome"];
          "user_id": string;
          "version": string;
        }[];
      };
      "list_alerts": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "cool_down": string;
          "critical": number;
          "description": string;
          "enabled": boolean;
          "evaluated_at": string;
          "labels": Json;
          "lasting": string;
          "metric": string;
          "minimum_count": number;
          "name": string;
          "raise_without_data": boolean;
          "raised_at": string;
          "recovering": string;
          "since": string;
          "state": Database["bulwark"]["Enums"]["alert_state"];
          "statistic": Database["bulwark"]["Enums"]["metric_statistic"];
          "time_window": string;
          "value": number;
          "warning": number;
        }[];
      };
      "list_api_keys": {
        Args: {
          "before"?: string;
          "include_ended"?: boolean;
          "organization_id": string;
          "page_size"?: number;
        };
        Returns: {
          "created_at": string;
          "effective_scopes": (string)[];
          "environment": string;
          "expires_at": string;
          "first_characters": string;
          "id": string;
          "last_used_at": string;
          "name": string;
          "networks": (unknown)[];
          "owner_id": string;
          "rate_limit_rule": string;
          "revoked_at": string;
          "revoked_because": string;
          "revoked_by": string;
          "rotated_from": string;
          "scopes": (string)[];
          "status": string;
        }[];
      };
      "list_encrypted_columns": {
        Args: { "table_name": string };
        Returns: {
          "column_name": string;
          "index_column": string;
          "normalization": string;
          "organization_column": string;
          "organization_type": string;
          "primary_key": string;
          "primary_key_type": string;
          "relation_name": string;
          "schema_name": string;
        }[];
      };
      "list_invitations": {
        Args: {
          "before"?: string;
          "organization_id": string;
          "page_size"?: number;
          "states"?: (string)[];
        };
        Returns: {
          "accepted_by": string;
          "created_at": string;
          "email": string;
          "ended_at": string;
          "expires_at": string;
          "invitation_id": string;
          "invited_by": string;
          "invited_by_name": string;
          "role": string;
          "role_expires_at": string;
          "state": string;
        }[];
      };
      "list_members": {
        Args: {
          "after"?: string;
          "organization_id": string;
          "page_size"?: number;
          "role"?: string;
          "search"?: string;
        };
        Returns: {
          "email": string;
          "last_sign_in_at": string;
          "member_since": string;
          "mfa_enrolled": boolean;
          "name": string;
          "page_key": string;
          "roles": Json;
          "suspended": boolean;
          "user_id": string;
        }[];
      };
      "list_metrics": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "description": string;
          "kind": Database["bulwark"]["Enums"]["metric_kind"];
          "last_at": string;
          "name": string;
          "series": number;
          "unit": string;
        }[];
      };
      "list_names": {
        Args: { "organization_id": string; "user_ids": (string)[] };
        Returns: {
          "email": string;
          "is_member": boolean;
          "name": string;
          "user_id": string;
        }[];
      };
      "list_network": {
        Args: {
          "expires_at"?: string;
          "network": string;
          "reason": string;
          "verdict": Database["bulwark"]["Enums"]["network_verdict"];
        };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "expires_at": string | null;
          "network": unknown;
          "reason": string;
          "verdict": Database["bulwark"]["Enums"]["network_verdict"];
        };
        SetofOptions: {
          from: "*";
          to: "rate_limit_networks";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "list_security_events": {
        Args: {
          "assignee"?: string;
          "before"?: string;
          "include_resolved"?: boolean;
          "minimum_severity"?: Database["bulwark"]["Enums"]["security_severity"];
          "organization_id"?: string;
          "page_size"?: number;
          "state"?: string;
          "unassigned"?: boolean;
        };
        Returns: {
          "assigned_to": string | null;
          "details": NonNullable<Json>;
          "event_type": string;
          "id": string;
          "last_seen_at": string;
          "occurrences": number;
          "organization_id": string | null;
          "raised_at": string;
          "resolution_note": string | null;
          "resolved_at": string | null;
          "resolved_by": string | null;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
          "subject": string;
          "user_id": string | null;
        }[];
        SetofOptions: {
          from: "*";
          to: "security_events";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "list_settings": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "accepts": Json;
          "description": string;
          "name": string;
          "value": Json;
        }[];
      };
      "log_audit_event": {
        Args: {
          "action"?: string;
          "actor_id"?: string;
          "details"?: Json;
          "event_type": string;
          "organization_id"?: string;
          "parent_id"?: string;
          "resource_id"?: string;
          "resource_type"?: string;
          "result"?: Database["bulwark"]["Enums"]["audit_result"];
          "severity"?: Database["bulwark"]["Enums"]["audit_severity"];
        };
        Returns: string;
      };
      "member_organizations": { Args: Record<PropertyKey, never>; Returns: string[] };
      "mfa_compliance": {
        Args: {
          "after"?: string;
          "organization_id": string;
          "page_size"?: number;
          "state"?: string;
        };
        Returns: {
          "email": string;
          "enrolled": boolean;
          "last_sign_in_at": string;
          "last_used_at": string;
          "locked": boolean;
          "locked_until": string;
          "name": string;
          "overdue": boolean;
          "required_from": string;
          "suspended": boolean;
          "user_id": string;
        }[];
      };
      "mfa_required": { Args: { "organization_id"?: string }; Returns: boolean };
      "mfa_status": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "backup_codes_left": number;
          "enrolled": boolean;
          "factors": Json;
          "locked": boolean;
          "native_factors": number;
          "satisfied": boolean;
          "trusted_devices": Json;
          "verified_at": string;
        }[];
      };
      "mfa_uncovered_tables": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "problem": string;
          "relation": string;
          "role": unknown;
        }[];
      };
      "mfa_verification_attempt_hook": { Args: { "event": Json }; Returns: Json };
      "mfa_verified": { Args: { "max_age": string }; Returns: boolean };
      "my_invitations": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "created_at": string;
          "expires_at": string;
          "invitation_id": string;
          "invited_by": string;
          "invited_by_email": string;
          "invited_by_name": string;
          "organization_id": string;
          "organization_name": string;
          "organization_slug": string;
          "role": string;
          "role_description": string;
          "role_expires_at": string;
        }[];
      };
      "my_permissions": {
        Args: { "known_version"?: string; "organization_id"?: string };
        Returns: {
          "permissions": (string)[];
          "version": string;
        }[];
      };
      "my_sessions": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "created_at": string;
          "id": string;
          "ip": string;
          "is_current": boolean;
          "mfa_verified_at": string;
          "not_after": string;
          "refreshed_at": string;
          "user_agent": string;
        }[];
      };
      "next_audit_archive": { Args: { "through"?: string }; Returns: Json };
      "next_reencryption_batch": {
        Args: { "batch_size"?: number };
        Returns: {
          "batch": Json;
          "column_name": string;
          "is_indexed": boolean;
          "next_place": string;
          "normalization": string;
          "place": string;
          "reencryption_id": number;
          "schema_name": string;
          "table_name": string;
        }[];
      };
      "note_audit_export": {
        Args: {
          "begins": boolean;
          "caller": string;
          "ends": boolean;
          "organization_id"?: string;
          "reached": string;
        };
        Returns: undefined;
      };
      "open_mfa_attempt": {
        Args: { "attempt_id": string };
        Returns: {
          "factor_id": string;
          "secret": string;
          "step": number;
          "user_id": string;
        }[];
      };
      "organization_id": { Args: { "key": string }; Returns: string };
      "organizations_by_key": { Args: { "keys": (string)[] }; Returns: (string)[] };
      "organizations_with": { Args: { "permission": string }; Returns: string[] };
      "password_verification_attempt_hook": { Args: { "event": Json }; Returns: Json };
      "place_legal_hold": {
        Args: {
          "organization_id"?: string;
          "reason": string;
          "resource_id"?: string;
          "resource_type"?: string;
          "subject_id"?: string;
        };
        Returns: string;
      };
      "present_trusted_device": { Args: { "token": string }; Returns: boolean };
      "preview_invitation": {
        Args: { "token": string };
        Returns: {
          "email": string;
          "expires_at": string;
          "invitation_id": string;
          "invited_by_name": string;
          "is_mine": boolean;
          "organization_name": string;
          "role": string;
          "role_expires_at": string;
        }[];
      };
      "preview_webhook_delivery": {
        Args: { "endpoint_id": string; "event_id": string };
        Returns: Json;
      };
      "prune_audit_log": { Args: { "keep_days": number }; Returns: number };
      "prune_webhook_deliveries": { Args: { "maximum"?: number }; Returns: number };
      "raise_security_event": {
        Args: {
          "details"?: Json;
          "event_type": string;
          "organization_id": string;
          "subject": string;
          "user_id": string;
        };
        Returns: string;
      };
      "rate_limit_block_of": {
        Args: {
          "account"?: string;
          "address"?: string;
          "api_key_id"?: string;
          "rule": string;
          "user_id"?: string;
        };
        Returns: {
          "allowed": boolean;
          "retry_after_seconds": number;
        }[];
      };
      "rate_limit_caller": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "api_key_id": string;
          "organization_id": string;
          "user_id": string;
        }[];
      };
      "rate_limit_rule": {
        Args: { "api_key_id"?: string; "organization_id"?: string; "rule": string };
        Returns: {
          "capacity": number;
          "identified_by": Database["bulwark"]["Enums"]["rate_limit_subject"];
          "scope": number;
          "when_store_fails": Database["bulwark"]["Enums"]["rate_limit_failure"];
          "window_seconds": number;
        }[];
      };
      "rate_limit_usage": { Args: { "organization_id": string }; Returns: Json };
      "read_data_keys": {
        Args: { "key_ids": (string)[] };
        Returns: {
          "id": string;
          "organization_id": string;
          "purpose": string;
          "version": number;
          "wrapped_key": string;
        }[];
      };
      "read_index_keys": {
        Args: { "for_organization"?: string };
        Returns: {
          "id": string;
          "organization_id": string;
          "purpose": string;
          "version": number;
          "wrapped_key": string;
        }[];
      };
      "read_metric": {
        Args: {
          "group_by"?: string;
          "labels"?: Json;
          "metric": string;
          "since"?: string;
          "step"?: string;
          "until"?: string;
        };
        Returns: {
          "at": string;
          "count": number;
          "label": string;
          "last": number;
          "maximum": number;
          "mean": number;
          "minimum": number;
          "p50": number;
          "p95": number;
          "p99": number;
          "total": number;
        }[];
      };
      "read_native_mfa": { Args: { "claims"?: unknown; "factors"?: unknown }; Returns: undefined };
      "record_audit_archive_file": {
        Args: { "file": Json; "month": string; "signers": Json };
        Returns: boolean;
      };
      "record_audit_delivery": {
        Args: { "error"?: string; "sink": string; "tree_size": number };
        Returns: undefined;
      };
      "record_metrics": { Args: { "batch": string; "samples": Json }; Returns: number };
      "record_rate_limit_denial": {
        Args: {
          "address"?: string;
          "api_key_id"?: string;
          "kinds": (string)[];
          "names": (string)[];
          "organization_id"?: string;
          "rule": string;
          "user_id"?: string;
        };
        Returns: number;
      };
      "refresh_audit_fingerprints": { Args: Record<PropertyKey, never>; Returns: undefined };
      "register_key_encryption_key": {
        Args: {
          "check_value": string;
          "derivation": string;
          "key_id": string;
          "rounds"?: number;
          "salt"?: string;
        };
        Returns: undefined;
      };
      "release_legal_hold": { Args: { "hold_id": string }; Returns: undefined };
      "release_members": { Args: Record<PropertyKey, never>; Returns: undefined };
      "release_organizations": { Args: Record<PropertyKey, never>; Returns: undefined };
      "remind_access_reviews": { Args: Record<PropertyKey, never>; Returns: number };
      "remove_member": {
        Args: { "organization_id": string; "user_id": string };
        Returns: undefined;
      };
      "remove_mfa_factor": { Args: { "factor_id": string }; Returns: undefined };
      "replay_webhook_deliveries": {
        Args: {
          "endpoint_id": string;
          "since": string;
          "statuses"?: (Database["bulwark"]["Enums"]["webhook_delivery_status"])[];
          "until": string;
        };
        Returns: number;
      };
      "replay_webhook_delivery": { Args: { "delivery_id": string }; Returns: undefined };
      "report_checkpoint_problem": {
        Args: { "action": string; "details"?: Json };
        Returns: undefined;
      };
      "report_key_fault": { Args: { "fault"?: string; "key_id": string }; Returns: undefined };
      "report_leaked_api_keys": { Args: { "reports": Json }; Returns: undefined };
      "report_security_event": {
        Args: {
          "details"?: Json;
          "event_type": string;
          "organization_id"?: string;
          "subject"?: string;
          "user_id"?: string;
        };
        Returns: string;
      };
      "request_mfa_reset": {
        Args: { "organization_id"?: string; "reason": string; "user_id": string };
        Returns: {
          "completed": boolean;
          "reset_id": string;
        }[];
      };
      "require_mfa": { Args: { "max_age"?: string; "target": unknown }; Returns: undefined };
      "require_permission": {
        Args: { "organization_id": string; "permission": string };
        Returns: undefined;
      };
      "resend_invitation": {
        Args: { "expires_in"?: string; "invitation_id": string };
        Returns: {
          "expires_at": string;
          "new_invitation_id": string;
          "token": string;
        }[];
      };
      "reserve_data_key": {
        Args: { "for_organization"?: string; "key_purpose": string; "messages": number };
        Returns: {
          "current_kek": string;
          "granted": number;
          "id": string;
          "organization_id": string;
          "purpose": string;
          "version": number;
          "wrapped_key": string;
        }[];
      };
      "resolve_security_event": {
        Args: { "event_id": string; "note": string };
        Returns: {
          "assigned_to": string | null;
          "details": NonNullable<Json>;
          "event_type": string;
          "id": string;
          "last_seen_at": string;
          "occurrences": number;
          "organization_id": string | null;
          "raised_at": string;
          "resolution_note": string | null;
          "resolved_at": string | null;
          "resolved_by": string | null;
          "severity": Database["bulwark"]["Enums"]["security_severity"];
          "subject": string;
          "user_id": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "security_events";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "restore_audit_entries": {
        Args: {
          "entries": Json;
          "first"?: number;
          "month": string;
          "organization_id"?: string;
          "seal": number;
        };
        Returns: number;
      };
      "retry_reencryption": { Args: { "organization_id"?: string }; Returns: number };
      "revoke_api_key": {
        Args: { "because": string; "key_id": string };
        Returns: {
          "created_at": string;
          "environment": string;
          "expires_at": string;
          "first_characters": string;
          "id": string;
          "issued_with_mfa": boolean;
          "name": string;
          "networks": (unknown)[] | null;
          "organization_id": string;
          "owner_id": string;
          "rate_limit_rule": string;
          "revoked_at": string | null;
          "revoked_because": string | null;
          "revoked_by": string | null;
          "rotated_from": string | null;
          "scopes": (string)[];
        };
        SetofOptions: {
          from: "*";
          to: "api_keys";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "revoke_invitation": { Args: { "invitation_id": string }; Returns: undefined };
      "revoke_role": {
        Args: { "organization_id"?: string; "role": string; "user_id": string };
        Returns: undefined;
      };
      "revoke_trusted_device": { Args: { "device_id"?: string }; Returns: number };
      "rewrap_data_keys": { Args: { "changes": Json }; Returns: number };
      "roll_up_metrics": { Args: Record<PropertyKey, never>; Returns: number };
      "rotate_api_key": {
        Args: { "expires_at"?: string; "key_id": string; "overlap"?: string };
        Returns: Database["bulwark"]["CompositeTypes"]["issued_api_key"];
        SetofOptions: {
          from: "*";
          to: "issued_api_key";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "rotate_webhook_secret": {
        Args: { "endpoint_id": string; "overlap"?: string; "secret": string; "secret_id": string };
        Returns: string;
      };
      "schedule_jobs": { Args: Record<PropertyKey, never>; Returns: boolean };
      "scrape_metrics": { Args: Record<PropertyKey, never>; Returns: Json };
      "seal_audit_log": { Args: Record<PropertyKey, never>; Returns: number };
      "search_audit_logs": {
        Args: {
          "actor_id"?: string;
          "before"?: string;
          "correlation_id"?: string;
          "event_types"?: (string)[];
          "max_entries"?: number;
          "organization_id"?: string;
          "page_size"?: number;
          "resource_id"?: string;
          "resource_type"?: string;
          "results"?: (Database["bulwark"]["Enums"]["audit_result"])[];
          "search"?: string;
          "severities"?: (Database["bulwark"]["Enums"]["audit_severity"])[];
          "since"?: string;
          "until"?: string;
        };
        Returns: Json;
      };
      "send_test_webhook": { Args: { "endpoint_id": string }; Returns: string };
      "set_alert_rule": {
        Args: {
          "cool_down"?: string;
          "critical"?: number;
          "description"?: string;
          "enabled"?: boolean;
          "labels"?: Json;
          "lasting"?: string;
          "metric": string;
          "minimum_count"?: number;
          "name": string;
          "raise_without_data"?: boolean;
          "recovering"?: string;
          "statistic": Database["bulwark"]["Enums"]["metric_statistic"];
          "time_window"?: string;
          "warning"?: number;
        };
        Returns: undefined;
      };
      "set_api_key_policy": {
        Args: { "allowed": boolean; "max_days"?: number; "organization_id": string };
        Returns: {
          "allowed": boolean;
          "decided_with_mfa": boolean;
          "max_days": number | null;
          "organization_id": string;
          "updated_at": string;
          "updated_by": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "api_key_policies";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "set_member_roles": {
        Args: { "organization_id": string; "roles": (string)[]; "user_id": string };
        Returns: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
          "source": string;
          "starts_at": string;
          "updated_at": string;
          "user_id": string;
        }[];
        SetofOptions: {
          from: "*";
          to: "user_roles";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      "set_mfa_policy": {
        Args: {
          "grace_period"?: string;
          "organization_id": string;
          "required": boolean;
          "reset_needs_approval"?: boolean;
        };
        Returns: {
          "approval_until": string | null;
          "id": string;
          "organization_id": string | null;
          "required_from": string | null;
          "reset_needs_approval": boolean;
          "updated_at": string;
          "updated_by": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "mfa_policies";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "set_rate_limit": {
        Args: {
          "api_key_id"?: string;
          "capacity": number;
          "organization_id"?: string;
          "rule": string;
          "window_seconds": number;
        };
        Returns: undefined;
      };
      "set_setting": { Args: { "name": string; "value": Json }; Returns: undefined };
      "set_webhook_destination": {
        Args: { "destination": string; "endpoint_id": string; "origin": string };
        Returns: undefined;
      };
      "shred_organization": {
        Args: { "confirm_slug": string; "organization_id": string };
        Returns: number;
      };
      "start_access_review": {
        Args: {
          "due_at": string;
          "name": string;
          "organization_id": string;
          "reviewers": (string)[];
        };
        Returns: {
          "closed_at": string | null;
          "closed_by": string | null;
          "due_at": string;
          "id": string;
          "name": string;
          "organization_id": string;
          "reminded_at": string | null;
          "reviewers": (string)[];
          "started_at": string;
          "started_by": string | null;
        };
        SetofOptions: {
          from: "*";
          to: "access_reviews";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "store_audit_checkpoint": {
        Args: { "note": string; "root_hash": string; "signers": Json; "tree_size": number };
        Returns: boolean;
      };
      "store_backup_codes": {
        Args: { "code_hashes": (string)[]; "ticket_id": string };
        Returns: boolean;
      };
      "store_mfa_secret": {
        Args: { "factor_id": string; "name": string; "secret": string };
        Returns: boolean;
      };
      "tail_audit_log": {
        Args: { "after"?: string; "organization_id"?: string; "page_size"?: number };
        Returns: Json;
      };
      "top_queries": {
        Args: { "page_size"?: number };
        Returns: {
          "calls": number;
          "maximum_ms": number;
          "mean_ms": number;
          "query": string;
          "returned_rows": number;
          "share": number;
          "total_ms": number;
        }[];
      };
      "trust_device": {
        Args: { "name": string };
        Returns: {
          "device_id": string;
          "expires_at": string;
          "token": string;
        }[];
      };
      "undelivered_audit_checkpoints": {
        Args: { "page_size"?: number };
        Returns: {
          "note": string;
          "tree_size": number;
        }[];
      };
      "unlist_network": { Args: { "network": string }; Returns: undefined };
      "update_organization": {
        Args: { "name"?: string; "organization_id": string; "slug"?: string };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
          "self_service": boolean;
          "slug": string;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "organizations";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "update_role": {
        Args: {
          "description"?: string;
          "inherits"?: (string)[];
          "name"?: string;
          "organization_id": string;
          "permissions"?: (string)[];
          "role": string;
        };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "description": string;
          "id": string;
          "level": number;
          "name": string;
          "organization_id": string | null;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "roles";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "update_webhook_endpoint": {
        Args: {
          "endpoint_id": string;
          "follow_redirects"?: boolean;
          "include_details"?: boolean;
          "name"?: string;
          "ordering"?: Database["bulwark"]["Enums"]["webhook_ordering"];
          "subscriptions"?: Json;
        };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "disabled_at": string | null;
          "disabled_reason": string | null;
          "every_organization": boolean;
          "follow_redirects": boolean;
          "format": Database["bulwark"]["Enums"]["webhook_format"];
          "id": string;
          "include_details": boolean;
          "name": string;
          "ordering": Database["bulwark"]["Enums"]["webhook_ordering"];
          "organization_id": string | null;
          "origin": string;
          "updated_at": string;
        };
        SetofOptions: {
          from: "*";
          to: "webhook_endpoints";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "use_members": {
        Args: {
          "member"?: string;
          "organization"?: string;
          "otherwise"?: string;
          "role"?: string;
          "roles"?: Json;
          "target": unknown;
        };
        Returns: undefined;
      };
      "use_organizations": {
        Args: {
          "helper"?: string;
          "id"?: string;
          "name"?: string;
          "slug"?: string;
          "target": unknown;
        };
        Returns: undefined;
      };
      "user_has_permission": {
        Args: { "organization_id"?: string; "permission": string; "user_id": string };
        Returns: boolean;
      };
      "verify_audit_log": {
        Args: {
          "after_seal"?: number;
          "max_entries"?: number;
          "max_seconds"?: number;
          "organization_id"?: string;
          "since"?: string;
          "until"?: string;
        };
        Returns: {
          "complete": boolean;
          "detail": string;
          "entries_checked": number;
          "entry": string;
          "first_seal": number;
          "intact": boolean;
          "last_seal": number;
          "next_after_seal": number;
          "payloads_removed": number;
          "problem": string;
          "problems": number;
          "seal": number;
          "seals_checked": number;
        }[];
      };
      "version": { Args: Record<PropertyKey, never>; Returns: string };
      "webhook_stats": {
        Args: { "organization_id"?: string; "since"?: string };
        Returns: {
          "attempts": number;
          "counted_since": string;
          "dead": number;
          "delivered": number;
          "endpoint_id": string;
          "failing_since": string;
          "last_delivered_at": string;
          "name": string;
          "oldest_pending_at": string;
          "p50_ms": number;
          "p95_ms": number;
          "pending": number;
          "state": string;
        }[];
      };
      "whoami": { Args: { "known_version"?: string }; Returns: Json };
    };
    Enums: {
      "access_review_decision": "keep" | "end";
      "access_review_outcome": "kept" | "ended" | "gone";
      "alert_state": "ok" | "no_data" | "warning" | "critical";
      "audit_actor_type": "user" | "api_key" | "service" | "anonymous" | "database";
      "audit_result": "success" | "failure" | "partial";
      "audit_severity": "debug" | "info" | "warning" | "error" | "critical";
      "audit_source": "table" | "auth" | "client" | "service" | "system";
      "metric_kind": "counter" | "gauge" | "histogram";
      "metric_statistic":
        | "p50"
        | "p95"
        | "p99"
        | "mean"
        | "minimum"
        | "maximum"
        | "last"
        | "rate"
        | "total";
      "network_verdict": "allow" | "block";
      "rate_limit_failure": "open" | "closed";
      "rate_limit_subject": "caller" | "user_or_key" | "address_and_account";
      "security_severity": "low" | "medium" | "high" | "critical";
      "webhook_delivery_status": "pending" | "delivered" | "dead";
      "webhook_format": "json" | "slack" | "pagerduty";
      "webhook_ordering": "none" | "resource" | "endpoint";
      "webhook_outcome":
        | "delivered"
        | "rejected"
        | "timed_out"
        | "unreachable"
        | "forbidden"
        | "unreadable"
        | "lost";
      "webhook_source": "audit" | "security" | "test" | "invitation";
    };
    CompositeTypes: {
      "issued_api_key": {
        "id": string | null;
        "api_key": string | null;
        "name": string | null;
        "first_characters": string | null;
        "scopes": (string)[] | null;
        "expires_at": string | null;
      };
      "rate_limit_decision": {
        "allowed": boolean | null;
        "reason": string | null;
        "rule": string | null;
        "capacity": number | null;
        "window_seconds": number | null;
        "remaining": number | null;
        "reset_seconds": number | null;
        "retry_after_seconds": number | null;
        "when_store_fails": Database["bulwark"]["Enums"]["rate_limit_failure"] | null;
        "admitted": number | null;
      };
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "bulwark">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Insert: infer I;
    } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Update: infer U;
    } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][
    CompositeTypeName
  ]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "bulwark": {
    Enums: {
      "access_review_decision": ["keep", "end"],
      "access_review_outcome": ["kept", "ended", "gone"],
      "alert_state": ["ok", "no_data", "warning", "critical"],
      "audit_actor_type": ["user", "api_key", "service", "anonymous", "database"],
      "audit_result": ["success", "failure", "partial"],
      "audit_severity": ["debug", "info", "warning", "error", "critical"],
      "audit_source": ["table", "auth", "client", "service", "system"],
      "metric_kind": ["counter", "gauge", "histogram"],
      "metric_statistic": [
        "p50",
        "p95",
        "p99",
        "mean",
        "minimum",
        "maximum",
        "last",
        "rate",
        "total",
      ],
      "network_verdict": ["allow", "block"],
      "rate_limit_failure": ["open", "closed"],
      "rate_limit_subject": ["caller", "user_or_key", "address_and_account"],
      "security_severity": ["low", "medium", "high", "critical"],
      "webhook_delivery_status": ["pending", "delivered", "dead"],
      "webhook_format": ["json", "slack", "pagerduty"],
      "webhook_ordering": ["none", "resource", "endpoint"],
      "webhook_outcome": [
        "delivered",
        "rejected",
        "timed_out",
        "unreachable",
        "forbidden",
        "unreadable",
        "lost",
      ],
      "webhook_source": ["audit", "security", "test", "invitation"],
    },
  },
} as const;
