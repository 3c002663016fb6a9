# One confidential VM without a public address, that nobody can connect to. Everything carries the sandbox's id as a tag.

locals {
  name = replace(var.sandbox_id, "_", "-")
  tags = merge(var.tags, { "strongroom-sandbox" = var.sandbox_id })
}

resource "azurerm_network_security_group" "sandbox" {
  name                = local.name
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = local.tags

  security_rule {
    name                       = "nobody-comes-in"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_port_range          = "*"
    destination_port_range     = "*"
    source_address_prefix      = "*"
    destination_address_prefix = "*"
  }

  security_rule {
    name                       = "the-edge"
    priority                   = 100
    direction                  = "Outbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_port_range          = "*"
    destination_port_range     = tostring(var.edge_port)
    source_address_prefix      = "*"
    destination_address_prefix = var.edge_address
  }

  security_rule {
    name                       = "and-nothing-else"
    priority                   = 4096
    direction                  = "Outbound"
    access                     = "Deny"
    protocol                   = "*"
    source_port_range          = "*"
    destination_port_range     = "*"
    source_address_prefix      = "*"
    destination_address_prefix = "*"
  }
}

resource "azurerm_network_interface" "sandbox" {
  name                = local.name
  location            = var.location
  resource_group_name = var.resource_group_name
  tags                = local.tags

  ip_configuration {
    name                          = "internal"
    subnet_id                     = var.subnet_id
    private_ip_address_allocation = "Dynamic"
  }
}

resource "azurerm_network_interface_security_group_association" "sandbox" {
  network_interface_id      = azurerm_network_interface.sandbox.id
  network_security_group_id = azurerm_network_security_group.sandbox.id
}

# security_encryption_type makes it a confidential VM: azurerm derives the security type from it. The paravisor and its vTPM
# are inside the confidential VM; Secure Boot is required with DiskWithVMGuestState, and encryption at host excludes it.
resource "azurerm_linux_virtual_machine" "sandbox" {
  name                = local.name
  location            = var.location
  resource_group_name = var.resource_group_name
  size                = var.vm_size
  source_image_id     = var.image_id
  tags                = local.tags

  network_interface_ids = [azurerm_network_interface.sandbox.id]

  vtpm_enabled               = true
  secure_boot_enabled        = true
  encryption_at_host_enabled = var.security_encryption_type == "VMGuestStateOnly"

  # A change forces a new VM: so each boot is one.
  custom_data = base64encode(var.user_data)

  admin_username                  = "nobody-logs-in"
  disable_password_authentication = true
  admin_ssh_key {
    username   = "nobody-logs-in"
    public_key = var.admin_public_key
  }

  os_disk {
    name                     = local.name
    caching                  = "ReadWrite"
    storage_account_type     = "Premium_LRS"
    disk_size_gb             = var.disk_gb
    security_encryption_type = var.security_encryption_type
  }

  # Managed storage: the serial console's log can be read without an account of our own.
  boot_diagnostics {}

  allow_extension_operations = false
  provision_vm_agent         = false

  depends_on = [azurerm_network_interface_security_group_association.sandbox]
}
