"""
What the categories of real material are called in labels, truth and checkpoints.

Names are display names of AudioSet's ontology (github.com/audioset/ontology, CC BY-SA 4.0) where
it has one. A category that holds several of them has their names joined. AudioSet knows no
elephants and no washing machines.
"""

#: Name of a category in the lists of a folder -> display name.
DISPLAY_NAMES = {
    'accordion': 'Accordion',
    'acoustic_guitar': 'Acoustic guitar',
    'airplane': 'Fixed-wing aircraft, airplane',
    'alarm': 'Alarm',
    'baby_cry': 'Baby cry, infant cry',
    'banjo_mandolin_ukulele': 'Banjo, mandolin, ukulele',
    'bell': 'Bell',
    'bicycle': 'Bicycle',
    'bird': 'Bird',
    'boat': 'Boat, Water vehicle',
    'bus': 'Bus',
    'camera': 'Camera',
    'car': 'Car',
    'cat': 'Cat',
    'chainsaw': 'Chainsaw',
    'clarinet_saxophone_oboe': 'Clarinet, saxophone, oboe',
    'clock': 'Clock',
    'cow': 'Cattle, bovinae',
    'dog': 'Dog',
    'door': 'Door',
    'drill': 'Drill',
    'drums_cymbal': 'Drum, cymbal',
    'electric_guitar': 'Electric guitar',
    'elephant': 'Elephant',
    'emergency_vehicle': 'Emergency vehicle',
    'fireworks': 'Fireworks',
    'flute_recorder': 'Flute, recorder',
    'frog': 'Frog',
    'gun': 'Gunshot, gunfire',
    'hair_dryer': 'Hair dryer',
    'hammer': 'Hammer',
    'harp': 'Harp',
    'helicopter': 'Helicopter',
    'horse': 'Horse',
    'insect': 'Insect',
    'kettle_frying': 'Kettle, frying (food)',
    'keyboard_typing': 'Computer keyboard',
    'lion_bigcat': 'Roaring cats (lions, tigers)',
    'motorcycle': 'Motorcycle',
    'person': 'Speech',
    'person_sneeze': 'Sneeze',
    'piano': 'Piano',
    'pig': 'Pig',
    'rodent': 'Rodents, rats, mice',
    'rooster_hen': 'Chicken, rooster',
    'saw': 'Sawing',
    'scissors': 'Scissors',
    'sheep_goat': 'Sheep, goat',
    'telephone': 'Telephone',
    'toilet_flush': 'Toilet flush',
    'train': 'Train',
    'truck': 'Truck',
    'trumpet_trombone_horn': 'Brass instrument',
    'vacuum_cleaner': 'Vacuum cleaner',
    'violin_cello': 'Bowed string instrument',
    'washing_machine': 'Washing machine',
}

#: Category of AVE -> the display name under which it is counted here.
OF_AVE = {
    'Accordion': 'Accordion',
    'Acoustic guitar': 'Acoustic guitar',
    'Baby cry, infant cry': 'Baby cry, infant cry',
    'Banjo': 'Banjo, mandolin, ukulele',
    'Bark': 'Dog',
    'Bus': 'Bus',
    'Cat': 'Cat',
    'Chainsaw': 'Chainsaw',
    'Church bell': 'Bell',
    'Clock': 'Clock',
    'Female speech, woman speaking': 'Speech',
    'Fixed-wing aircraft, airplane': 'Fixed-wing aircraft, airplane',
    'Flute': 'Flute, recorder',
    'Frying (food)': 'Kettle, frying (food)',
    'Goat': 'Sheep, goat',
    'Helicopter': 'Helicopter',
    'Horse': 'Horse',
    'Male speech, man speaking': 'Speech',
    'Mandolin': 'Banjo, mandolin, ukulele',
    'Motorcycle': 'Motorcycle',
    'Race car, auto racing': 'Car',
    'Rodents, rats, mice': 'Rodents, rats, mice',
    'Shofar': 'Brass instrument',
    'Toilet flush': 'Toilet flush',
    'Train horn': 'Train',
    'Truck': 'Truck',
    'Ukulele': 'Banjo, mandolin, ukulele',
    'Violin, fiddle': 'Bowed string instrument',
}


def display_name(category: str) -> str:
    """
    Name a category of the lists of a folder.

    :param category: of the tables above, or any other, which keeps its name.
    """
    return DISPLAY_NAMES.get(category) or OF_AVE.get(category) or category
