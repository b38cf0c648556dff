export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "public": {
    Tables: {
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
          "severity": Database["public"]["Enums"]["audit_severity"];
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
          "reported_by_clients"?: boolean;
          "severity"?: Database["public"]["Enums"]["audit_severity"];
        };
        Update: {
          "description"?: string;
          "name"?: string;
          "reported_by_clients"?: boolean;
          "severity"?: Database["public"]["Enums"]["audit_severity"];
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
          "actor_type": Database["public"]["Enums"]["audit_actor_type"] | null;
          "after": Json | null;
          "before": Json | null;
          "commitment": string | null;
          "correlation_id": string | null;
          "database_user": string | null;
          "details": Json | null;
          "era": number;
          "event_type": string;
          "id": string;
          "ip": string | null;
          "occurred_at": string;
          "organization_id": string | null;
          "parent_id": string | null;
          "removed_by": string | null;
          "resource_id": string | null;
          "resource_type": string | null;
          "result": Database["public"]["Enums"]["audit_result"];
          "salt": string | null;
          "session_id": string | null;
          "severity": Database["public"]["Enums"]["audit_severity"];
          "source": Database["public"]["Enums"]["audit_source"];
          "user_agent": string | null;
          "xid": unknown;
        };
        ComputedFields: never;
        Insert: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["public"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "era": number;
          "event_type": string;
          "id": string;
          "ip"?: string | null;
          "occurred_at": string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "result"?: Database["public"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity": Database["public"]["Enums"]["audit_severity"];
          "source": Database["public"]["Enums"]["audit_source"];
          "user_agent"?: string | null;
          "xid": unknown;
        };
        Update: {
          "action"?: string | null;
          "actor_id"?: string | null;
          "actor_type"?: Database["public"]["Enums"]["audit_actor_type"] | null;
          "after"?: Json | null;
          "before"?: Json | null;
          "commitment"?: string | null;
          "correlation_id"?: string | null;
          "database_user"?: string | null;
          "details"?: Json | null;
          "era"?: number;
          "event_type"?: string;
          "id"?: string;
          "ip"?: string | null;
          "occurred_at"?: string;
          "organization_id"?: string | null;
          "parent_id"?: string | null;
          "removed_by"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string | null;
          "result"?: Database["public"]["Enums"]["audit_result"];
          "salt"?: string | null;
          "session_id"?: string | null;
          "severity"?: Database["public"]["Enums"]["audit_severity"];
          "source"?: Database["public"]["Enums"]["audit_source"];
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
          "email": string;
          "expires_at": string;
          "id": string;
          "invited_by": string | null;
          "organization_id": string;
          "revoked_at": string | null;
          "role_id": string;
        };
        ComputedFields: never;
        Insert: {
          "accepted_at"?: string | null;
          "accepted_by"?: string | null;
          "created_at"?: string;
          "email": string;
          "expires_at": string;
          "id"?: string;
          "invited_by"?: string | null;
          "organization_id": string;
          "revoked_at"?: string | null;
          "role_id": string;
        };
        Update: {
          "accepted_at"?: string | null;
          "accepted_by"?: string | null;
          "created_at"?: string;
          "email"?: string;
          "expires_at"?: string;
          "id"?: string;
          "invited_by"?: string | null;
          "organization_id"?: string;
          "revoked_at"?: string | null;
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
      "organizations": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
          "slug": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "name": string;
          "slug": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "id"?: string;
          "name"?: string;
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
          "severity": Database["public"]["Enums"]["security_severity"];
        };
        ComputedFields: never;
        Insert: {
          "description": string;
          "name": string;
          "severity": Database["public"]["Enums"]["security_severity"];
        };
        Update: {
          "description"?: string;
          "name"?: string;
          "severity"?: Database["public"]["Enums"]["security_severity"];
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
          "severity": Database["public"]["Enums"]["security_severity"];
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
          "severity": Database["public"]["Enums"]["security_severity"];
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
          "severity"?: Database["public"]["Enums"]["security_severity"];
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
      "user_roles": {
        Row: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
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
    };
    Views: {
      [_ in never]: never;
    };
    Functions: {
      "accept_invitation": {
        Args: { "token": string };
        Returns: {
          "created_at": string;
          "expires_at": string | null;
          "granted_by": string | null;
          "id": string;
          "organization_id": string | null;
          "role_id": string;
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
          "severity": Database["public"]["Enums"]["security_severity"];
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
      "audit_inclusion_proof": { Args: { "entry_id": string }; Returns: Json };
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
      "check_audit_log": { Args: { "max_entries"?: number }; Returns: boolean };
      "check_permissions": {
        Args: { "organization_id"?: string; "permissions": (string)[] };
        Returns: {
          "allowed": boolean;
          "permission": string;
        }[];
      };
      "cleanup_old_audit_logs": { Args: { "retention_days"?: number }; Returns: number };
      "create_organization": {
        Args: { "administrator_id"?: string; "name": string; "slug": string };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
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
      "delete_organization": {
        Args: { "confirm_slug": string; "organization_id": string };
        Returns: undefined;
      };
      "delete_role": { Args: { "organization_id": string; "role": string }; Returns: undefined };
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
          "kept": number;
          "next_after": string;
          "removed": number;
        }[];
      };
      "evaluate_alerts": { Args: Record<PropertyKey, never>; Returns: number };
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
          "from"?: string;
          "organization_id"?: string;
          "page_size"?: number;
          "to"?: string;
        };
        Returns: Json;
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
      "invite_member": {
        Args: { "email": string; "expires_in"?: string; "organization_id": string; "role": string };
        Returns: {
          "expires_at": string;
          "invitation_id": string;
          "token": string;
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
          "state": Database["public"]["Enums"]["alert_state"];
          "statistic": Database["public"]["Enums"]["metric_statistic"];
          "time_window": string;
          "value": number;
          "warning": number;
        }[];
      };
      "list_metrics": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "description": string;
          "kind": Database["public"]["Enums"]["metric_kind"];
          "last_at": string;
          "name": string;
          "series": number;
          "unit": string;
        }[];
      };
      "list_security_events": {
        Args: {
          "before"?: string;
          "include_resolved"?: boolean;
          "minimum_severity"?: Database["public"]["Enums"]["security_severity"];
          "organization_id"?: string;
          "page_size"?: number;
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
          "severity": Database["public"]["Enums"]["security_severity"];
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
          "result"?: Database["public"]["Enums"]["audit_result"];
          "severity"?: Database["public"]["Enums"]["audit_severity"];
        };
        Returns: string;
      };
      "my_permissions": {
        Args: { "known_version"?: string; "organization_id"?: string };
        Returns: {
          "permissions": (string)[];
          "version": string;
        }[];
      };
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
      "prune_audit_log": { Args: { "keep_days": number }; Returns: number };
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
      "record_audit_delivery": {
        Args: { "error"?: string; "sink": string; "tree_size": number };
        Returns: undefined;
      };
      "record_metrics": { Args: { "batch": string; "samples": Json }; Returns: number };
      "release_legal_hold": { Args: { "hold_id": string }; Returns: undefined };
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
          "severity": Database["public"]["Enums"]["security_severity"];
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
      "revoke_invitation": { Args: { "invitation_id": string }; Returns: undefined };
      "revoke_role": {
        Args: { "organization_id"?: string; "role": string; "user_id": string };
        Returns: undefined;
      };
      "roll_up_metrics": { Args: Record<PropertyKey, never>; Returns: number };
      "scrape_metrics": { Args: Record<PropertyKey, never>; Returns: Json };
      "seal_audit_log": { Args: Record<PropertyKey, never>; Returns: number };
      "search_audit_logs": {
        Args: {
          "actor_id"?: string;
          "before"?: string;
          "correlation_id"?: string;
          "event_types"?: (string)[];
          "from"?: string;
          "organization_id"?: string;
          "page_size"?: number;
          "resource_id"?: string;
          "resource_type"?: string;
          "results"?: (Database["public"]["Enums"]["audit_result"])[];
          "search"?: string;
          "severities"?: (Database["public"]["Enums"]["audit_severity"])[];
          "to"?: string;
        };
        Returns: {
          "action": string | null;
          "actor_id": string | null;
          "actor_type": Database["public"]["Enums"]["audit_actor_type"] | null;
          "after": Json | null;
          "before": Json | null;
          "commitment": string | null;
          "correlation_id": string | null;
          "database_user": string | null;
          "details": Json | null;
          "era": number;
          "event_type": string;
          "id": string;
          "ip": string | null;
          "occurred_at": string;
          "organization_id": string | null;
          "parent_id": string | null;
          "removed_by": string | null;
          "resource_id": string | null;
          "resource_type": string | null;
          "result": Database["public"]["Enums"]["audit_result"];
          "salt": string | null;
          "session_id": string | null;
          "severity": Database["public"]["Enums"]["audit_severity"];
          "source": Database["public"]["Enums"]["audit_source"];
          "user_agent": string | null;
          "xid": unknown;
        }[];
        SetofOptions: {
          from: "*";
          to: "audit_logs";
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
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
          "statistic": Database["public"]["Enums"]["metric_statistic"];
          "time_window"?: string;
          "warning"?: number;
        };
        Returns: undefined;
      };
      "store_audit_checkpoint": {
        Args: { "note": string; "root_hash": string; "signers": Json; "tree_size": number };
        Returns: boolean;
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
      "undelivered_audit_checkpoints": {
        Args: { "page_size"?: number };
        Returns: {
          "note": string;
          "tree_size": number;
        }[];
      };
      "update_organization": {
        Args: { "name": string; "organization_id": string; "slug": string };
        Returns: {
          "created_at": string;
          "created_by": string | null;
          "id": string;
          "name": string;
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
      "user_has_permission": {
        Args: { "organization_id"?: string; "permission": string; "user_id": string };
        Returns: boolean;
      };
      "verify_audit_log": {
        Args: {
          "after_seal"?: number;
          "from"?: string;
          "max_entries"?: number;
          "max_seconds"?: number;
          "organization_id"?: string;
          "to"?: string;
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
    };
    Enums: {
      "alert_state": "ok" | "no_data" | "warning" | "critical";
      "audit_actor_type": "user" | "api_key" | "service" | "anonymous" | "database";
      "audit_result": "success" | "failure" | "partial";
      "audit_severity": "debug" | "info" | "warning" | "error" | "critical";
      "audit_source": "table" | "auth" | "client" | "service";
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
      "security_severity": "low" | "medium" | "high" | "critical";
    };
    CompositeTypes: {
      [_ in never]: never;
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">];

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
  "public": {
    Enums: {
      "alert_state": ["ok", "no_data", "warning", "critical"],
      "audit_actor_type": ["user", "api_key", "service", "anonymous", "database"],
      "audit_result": ["success", "failure", "partial"],
      "audit_severity": ["debug", "info", "warning", "error", "critical"],
      "audit_source": ["table", "auth", "client", "service"],
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
      "security_severity": ["low", "medium", "high", "critical"],
    },
  },
} as const;
