# From the provisioner, for each boot.

variable "sandbox_id" {
  type        = string
  description = "The sandbox's id; every object carries it"
}

variable "boot" {
  type        = number
  description = "Which boot of the sandbox this is"
}

variable "user_data" {
  type        = string
  sensitive   = true
  description = "What the guest finds as user data: initdata and enrolment secret"
}

# From the sandbox's owner: parameters of template.yaml.

variable "instance_type" {
  type = string
}

variable "isolation" {
  type = string

  validation {
    condition     = contains(["sev-snp", "nitro-enclave"], var.isolation)
    error_message = "Either sev-snp or nitro-enclave."
  }
}

variable "disk_gb" {
  type = number
}

# From the operator: variables.json.

variable "region" {
  type        = string
  description = "Region that has these types with SEV-SNP, such as eu-west-1 or us-east-2"
}

variable "vpc_id" {
  type = string
}

variable "subnet_id" {
  type        = string
  description = "A subnet of that VPC with a way to the edge"
}

variable "image_id" {
  type        = string
  description = "AMI that holds the guest, with UEFI boot for SEV-SNP (docs/tofu.md)"
}

variable "edge_address" {
  type        = string
  description = "IPv4 address of Strongroom's edge, the only one the instance may connect to"
}

variable "edge_port" {
  type    = number
  default = 443
}

variable "tags" {
  type    = map(string)
  default = {}
}
