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
  description = "What the guest finds as custom data: initdata and enrolment secret"
}

# From the sandbox's owner: parameters of template.yaml.

variable "vm_size" {
  type = string
}

variable "disk_gb" {
  type = number
}

# From the operator: variables.json.

variable "location" {
  type        = string
  description = "Region that has confidential sizes, such as westeurope"
}

variable "resource_group_name" {
  type        = string
  description = "An existing resource group, best one for sandboxes only"
}

variable "subnet_id" {
  type        = string
  description = "Id of the subnet the VMs are put into"
}

variable "image_id" {
  type        = string
  description = "Id of a generalized image version for confidential VMs that holds the guest (docs/tofu.md)"
}

variable "edge_address" {
  type        = string
  description = "Address of Strongroom's edge, the only one the VM may connect to"
}

variable "edge_port" {
  type    = number
  default = 443
}

variable "admin_public_key" {
  type        = string
  description = "Azure insists on one; the image has no SSH server, so throw the private half away"
}

variable "security_encryption_type" {
  type        = string
  default     = "DiskWithVMGuestState"
  description = "Whether the platform key encrypts the whole disk or the guest's state only"

  validation {
    condition     = contains(["VMGuestStateOnly", "DiskWithVMGuestState"], var.security_encryption_type)
    error_message = "Either VMGuestStateOnly or DiskWithVMGuestState."
  }
}

variable "tags" {
  type    = map(string)
  default = {}
}
