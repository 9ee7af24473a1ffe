"""Component cards, as data: the circuits around the arrays (`bimu_hw.cards.load_component_card`)."""
