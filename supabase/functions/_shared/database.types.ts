export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "public": {
    Tables: {
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
      "check_permissions": {
        Args: { "organization_id"?: string; "permissions": (string)[] };
        Returns: {
          "allowed": boolean;
          "permission": string;
        }[];
      };
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
      "revoke_invitation": { Args: { "invitation_id": string }; Returns: undefined };
      "revoke_role": {
        Args: { "organization_id"?: string; "role": string; "user_id": string };
        Returns: undefined;
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
    };
    Enums: {
      [_ in never]: never;
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
    Enums: {},
  },
} as const;
